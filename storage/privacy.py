"""Everything that is stored about a user: handed over, or removed. Called by /privacy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from storage.database import Database
from storage.identities import MEMBER, IdentityInfo, IdentityStore
from storage.models import IdentityShare, Job, Result, User
from storage.preferences import NamedPrompt, Preferences, PreferenceStore, PromptStore
from storage.sharing import Share, SharingStore


@dataclass(frozen=True, slots=True)
class JobData:
    """A job as its user may see it: no token, no place in any queue."""

    id: int
    state: str
    request: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ResultData:
    """One picture's settings, and the picture where it is kept."""

    job_id: int
    position: int
    seed: int
    picture: bytes | None
    thumbnail: bytes | None


@dataclass(frozen=True, slots=True)
class UserData:
    """All of it; ``photos`` and ``shares`` by identity."""

    identities: list[IdentityInfo]
    photos: dict[int, list[bytes]]
    shares: dict[int, list[Share]]
    prompts: list[NamedPrompt]
    preferences: Preferences
    jobs: list[JobData]
    results: list[ResultData]


@dataclass(frozen=True, slots=True)
class Overview:
    """How much is stored about a user."""

    identities: int
    photos: int
    jobs: int
    prompts: int
    has_preferences: bool

    @property
    def is_empty(self) -> bool:
        return not (self.identities or self.jobs or self.prompts or self.has_preferences)


class PrivacyStore:
    """What a user can ask about themselves."""

    def __init__(self, database: Database) -> None:
        self._database, self._identities = database, IdentityStore(database)
        self._sharing, self._prompts = SharingStore(database), PromptStore(database)
        self._preferences = PreferenceStore(database)

    async def overview(self, user_id: int) -> Overview:
        """Counts alone, without reading photos or pictures."""
        identities = await self._identities.all_of(user_id)
        async with self._database.transaction() as session:
            jobs = await session.scalar(select(func.count()).where(Job.user_id == user_id))
        prompts = await self._prompts.all_of(user_id)
        preferences = await self._preferences.of(user_id)
        photos = sum(one.photo_count for one in identities)
        return Overview(len(identities), photos, jobs or 0, len(prompts), preferences != Preferences())

    async def everything(self, user_id: int) -> UserData:
        """All that is stored about a user; nothing but empty lists for somebody unknown."""
        identities = await self._identities.all_of(user_id)
        photos = {one.id: [photo.content for photo in await self._identities.photos(one.id)] for one in identities}
        shares = {one.id: await self._sharing.shares_of(one.id) for one in identities}
        prompts, preferences = await self._prompts.all_of(user_id), await self._preferences.of(user_id)
        async with self._database.transaction() as session:
            jobs = (await session.scalars(select(Job).where(Job.user_id == user_id).order_by(Job.id))).all()
            results = await session.scalars(
                select(Result).join(Job).where(Job.user_id == user_id).order_by(Result.job_id, Result.position)
            )
            return UserData(
                identities,
                photos,
                shares,
                prompts,
                preferences,
                [JobData(one.id, one.state, one.request, one.created_at, one.finished_at, one.error) for one in jobs],
                [ResultData(one.job_id, one.position, one.seed, one.picture, one.thumbnail) for one in results],
            )

    async def forget(self, user_id: int) -> None:
        """Remove a user with everything that belongs to them, from the database's files too."""
        async with self._database.transaction() as session:
            await session.execute(delete(User).where(User.id == user_id))
            await session.execute(
                delete(IdentityShare).where(IdentityShare.kind == MEMBER, IdentityShare.target_id == user_id)
            )
        await self._database.scrub()
