"""The bot's memory: identities with their photos, consent and shares, jobs and results, preferences and rules."""

from storage.activity import ActivityStore
from storage.consents import ConsentInfo, Wording
from storage.database import Database
from storage.draw_context import DrawContextStore, StoredContext, UsableIdentity, Wanted
from storage.errors import (
    DatabaseInUseError,
    DatabaseUnavailableError,
    DuplicatePhotoError,
    LimitReachedError,
    NameTakenError,
    NotFoundError,
    StorageError,
)
from storage.face_opt_outs import FaceOptOutStore, RegisteredFace
from storage.identities import IdentityInfo, IdentityStore, NewPhoto, Removal
from storage.identity_requests import IdentityRequestStore, RequestInfo
from storage.jobs import UNLIMITED, DrawnPicture, JobLimits, JobRecord, JobStore, NewJob, NewResult, PastJob
from storage.limits import StorageLimits
from storage.open_jobs import OpenJobStore, QueuedJob, QueuePage
from storage.photos import PhotoFeatures, PhotoStore
from storage.preferences import NamedPrompt, Preferences, PreferenceStore, PromptStore
from storage.privacy import Overview, PrivacyStore, UserData
from storage.retention import Expired, RetentionPeriods, RetentionStore
from storage.servers import Rules, ServerStore
from storage.sharing import Share, SharingStore

__all__ = [
    "UNLIMITED",
    "ActivityStore",
    "ConsentInfo",
    "Database",
    "DatabaseInUseError",
    "DatabaseUnavailableError",
    "DrawContextStore",
    "DrawnPicture",
    "DuplicatePhotoError",
    "Expired",
    "FaceOptOutStore",
    "IdentityInfo",
    "IdentityRequestStore",
    "IdentityStore",
    "JobLimits",
    "JobRecord",
    "JobStore",
    "LimitReachedError",
    "NameTakenError",
    "NamedPrompt",
    "NewJob",
    "NewPhoto",
    "NewResult",
    "NotFoundError",
    "OpenJobStore",
    "Overview",
    "PastJob",
    "PhotoFeatures",
    "PhotoStore",
    "PreferenceStore",
    "Preferences",
    "PrivacyStore",
    "PromptStore",
    "QueuePage",
    "QueuedJob",
    "RegisteredFace",
    "Removal",
    "RequestInfo",
    "RetentionPeriods",
    "RetentionStore",
    "Rules",
    "ServerStore",
    "Share",
    "SharingStore",
    "StorageError",
    "StorageLimits",
    "StoredContext",
    "UsableIdentity",
    "UserData",
    "Wanted",
    "Wording",
]
