"""What the bot remembers: identities with their photos, consent and shares, jobs and results, preferences and rules."""

from storage.database import Database
from storage.errors import NotFoundError, StorageError
from storage.identities import IdentityInfo, IdentityStore, NewPhoto, StoredPhoto
from storage.jobs import JobLimits, JobRecord, JobStore, NewJob, NewResult, PastJob
from storage.preferences import NamedPrompt, Preferences, PreferenceStore, PromptStore
from storage.privacy import Overview, PrivacyStore, UserData
from storage.servers import Rules, ServerStore
from storage.sharing import Share, SharingStore

__all__ = [
    "Database",
    "IdentityInfo",
    "IdentityStore",
    "JobLimits",
    "JobRecord",
    "JobStore",
    "NamedPrompt",
    "NewJob",
    "NewPhoto",
    "NewResult",
    "NotFoundError",
    "Overview",
    "PastJob",
    "PreferenceStore",
    "Preferences",
    "PrivacyStore",
    "PromptStore",
    "Rules",
    "ServerStore",
    "Share",
    "SharingStore",
    "StorageError",
    "StoredPhoto",
    "UserData",
]
