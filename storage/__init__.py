"""What the bot remembers: identities with their photos, consent, jobs and results, in one database."""

from storage.database import Database
from storage.errors import NotFoundError, StorageError
from storage.identities import IdentityInfo, IdentityStore, NewPhoto, StoredPhoto
from storage.jobs import JobRecord, JobStore, NewJob, NewResult
from storage.privacy import Overview, PrivacyStore, UserData

__all__ = [
    "Database",
    "IdentityInfo",
    "IdentityStore",
    "JobRecord",
    "JobStore",
    "NewJob",
    "NewPhoto",
    "NewResult",
    "NotFoundError",
    "Overview",
    "PrivacyStore",
    "StorageError",
    "StoredPhoto",
    "UserData",
]
