"""Everything that is stored about a user: handed over, or removed. Called by /privacy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from storage.consents import ConsentInfo, consents_of
from storage.database import Database
from storage.erasure import erase_job, forget_names
from storage.face_opt_outs import RegisteredFace, registered_face
from storage.identities import MEMBER, IdentityInfo, identities_of
from storage.identity_requests import RequestInfo, is_opted_out, requests_of
from storage.models import (
    Identity,
    IdentityRequest,
    IdentityShare,
    IdPhoto,
    Job,
    OptOut,
    Result,
    SavedPrompt,
    User,
)
from storage.photos import photos_of
from storage.preferences import NamedPrompt, Preferences, preferences_of, prompts_of
from storage.sharing import Share, shares_of


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
    is_spoiler: bool


@dataclass(frozen=True, slots=True)
class UserData:
    """Everything about one user; ``photos`` and ``shares`` by identity."""

    identities: list[IdentityInfo]
    photos: dict[int, list[bytes]]
    shares: dict[int, list[Share]]
    prompts: list[NamedPrompt]
    preferences: Preferences
    jobs: list[JobData]
    results: list[ResultData]
    consents: list[ConsentInfo]
    requests: list[RequestInfo]
    opted_out_at: datetime | None
    face: RegisteredFace | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The numbers of what is stored about a user."""

    identities: int
    photos: int
    jobs: int
    prompts: int
    requests: int
    has_opted_out: bool
    has_face: bool
    has_preferences: bool

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, name) for name in self.__dataclass_fields__)


class PrivacyStore:
    """Answers what users ask about themselves, and removes what they want gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def overview(self, user_id: int) -> Overview:
        """Counts alone, without reading photos or pictures."""
        own = Identity.owner_id == user_id
        async with self._database.reading() as session:
            photos = select(func.count(IdPhoto.id)).join(Identity, Identity.id == IdPhoto.identity_id).where(own)
            return Overview(
                identities=await session.scalar(select(func.count(Identity.id)).where(own)) or 0,
                photos=await session.scalar(photos) or 0,
                jobs=await session.scalar(select(func.count(Job.id)).where(Job.user_id == user_id)) or 0,
                prompts=await session.scalar(select(func.count()).where(SavedPrompt.user_id == user_id)) or 0,
                requests=len(await requests_of(session, user_id)),
                has_opted_out=await is_opted_out(session, user_id),
                has_face=await registered_face(session, user_id) is not None,
                has_preferences=await preferences_of(session, user_id) != Preferences(),
            )

    async def consents(self, user_id: int) -> list[ConsentInfo]:
        """What a user declared about the people in their photos, oldest first."""
        async with self._database.reading() as session:
            return await consents_of(session, user_id)

    async def everything(self, user_id: int) -> UserData:
        """All that is stored about a user at one moment; nothing but empty lists for somebody unknown."""
        async with self._database.reading() as session:
            identities = await identities_of(session, user_id)
            jobs = (await session.scalars(select(Job).where(Job.user_id == user_id).order_by(Job.id))).all()
            results = await session.scalars(
                select(Result).join(Job).where(Job.user_id == user_id).order_by(Result.job_id, Result.position)
            )
            return UserData(
                identities,
                {one.id: await photos_of(session, one.id) for one in identities},
                {one.id: await shares_of(session, one.id) for one in identities},
                await prompts_of(session, user_id),
                await preferences_of(session, user_id),
                [JobData(one.id, one.state, one.request, one.created_at, one.finished_at, one.error) for one in jobs],
                [
                    ResultData(one.job_id, one.position, one.seed, one.picture, one.thumbnail, one.is_spoiler)
                    for one in results
                ],
                await consents_of(session, user_id),
                await requests_of(session, user_id),
                await session.scalar(select(OptOut.created_at).where(OptOut.user_id == user_id)),
                await registered_face(session, user_id),
            )

    async def forget(self, user_id: int) -> bool:
        """Remove a user with everything that belongs to them, and the names of their identities from what others had
        drawn of them.

        Returns whether no file of the database holds a trace any more; else another process is reading it, and the
        database goes on trying.
        """
        async with self._database.transaction() as session:
            await session.execute(select(User.id).where(User.id == user_id).with_for_update())
            identities = (await session.scalars(select(Identity.id).where(Identity.owner_id == user_id))).all()
            await forget_names(session, identities, except_for=user_id)
            await session.execute(delete(User).where(User.id == user_id))
            await session.execute(
                delete(IdentityShare).where(IdentityShare.kind == MEMBER, IdentityShare.target_id == user_id)
            )
            await session.execute(delete(IdentityRequest).where(IdentityRequest.member_id == user_id))
        return await self._database.scrub()

    async def erase_picture(self, message_id: int) -> bool:
        """Erase what is stored of the pictures that a message shows: thumbnails, pictures, prompt and settings.

        The job stays as a row without content, which no history shows and no button finds. Returns what
        :meth:`forget` returns. A message that shows no job is passed over.
        """
        ended = Job.state.not_in(("queued", "running"))
        async with self._database.transaction() as session:
            for job_id in await session.scalars(select(Job.id).where(Job.message_id == message_id, ended)):
                await erase_job(session, job_id)
        return await self._database.scrub()
