"""Drawing jobs and their results. Called by the bot's job desk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update

from storage.database import Database
from storage.models import Job, Result
from storage.users import ensure_user


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as a command accepts it. ``request`` is JSON; ``source`` the picture it starts from, if any."""

    user_id: int
    channel_id: int
    message_id: int | None
    interaction_token: str | None
    request: dict[str, Any]
    source: bytes | None = None


@dataclass(frozen=True, slots=True)
class JobLimits:
    """The most that a member may have at once and in the last 24 hours; ``None`` is without limit."""

    open_jobs: int | None = None
    pictures_a_day: int | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """An accepted job; ``state`` is queued, running, done, failed or cancelled."""

    id: int
    user_id: int
    channel_id: int
    message_id: int | None
    interaction_token: str | None
    request: dict[str, Any]
    created_at: datetime
    state: str
    source: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewResult:
    """How one picture was made; ``thumbnail`` is a small JPEG; ``picture`` only where it is to be kept."""

    seed: int
    settings: dict[str, Any]
    picture: bytes | None = None
    thumbnail: bytes | None = None


@dataclass(frozen=True, slots=True)
class PastJob:
    """A finished job and a small JPEG of its first picture, where there is one."""

    record: JobRecord
    thumbnail: bytes | None


class JobStore:
    """The jobs' life: queued, running, then done, failed or cancelled."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, new: NewJob) -> JobRecord:
        async with self._database.transaction() as session:
            await ensure_user(session, new.user_id)
            job = Job(
                user_id=new.user_id,
                channel_id=new.channel_id,
                message_id=new.message_id,
                interaction_token=new.interaction_token,
                request=new.request,
                source=new.source,
            )
            session.add(job)
        return _record(job)

    async def unfinished(self) -> list[JobRecord]:
        """What was accepted and not finished, oldest first: the jobs to resume after a restart."""
        async with self._database.transaction() as session:
            jobs = await session.scalars(select(Job).where(Job.state.in_(("queued", "running"))).order_by(Job.id))
            return [_record(job) for job in jobs]

    async def by_message(self, message_id: int) -> JobRecord | None:
        """The job that a message shows, the newest where there are several."""
        query = select(Job).where(Job.message_id == message_id).order_by(Job.id.desc()).limit(1)
        async with self._database.transaction() as session:
            job = await session.scalar(query)
            return None if job is None else _record(job)

    async def history(self, user_id: int, limit: int, offset: int = 0) -> list[PastJob]:
        """A member's finished jobs, the newest first, each with its first thumbnail."""
        query = (
            select(Job, Result.thumbnail)
            .join(Result, (Result.job_id == Job.id) & (Result.position == 0))
            .where(Job.user_id == user_id, Job.state == "done")
            .order_by(Job.id.desc())
            .limit(limit)
            .offset(offset)
        )
        async with self._database.transaction() as session:
            return [PastJob(_record(job), thumbnail) for job, thumbnail in await session.execute(query)]

    async def counts(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        async with self._database.transaction() as session:
            return dict((await session.execute(select(Job.state, func.count()).group_by(Job.state))).tuples().all())

    async def moved(self, job_id: int, message_id: int) -> None:
        """Note that another message shows the job from now on."""
        await self._set(job_id, message_id=message_id)

    async def started(self, job_id: int) -> None:
        await self._set(job_id, state="running", started_at=datetime.now(UTC))

    async def finished(self, job_id: int, results: Sequence[NewResult]) -> None:
        async with self._database.transaction() as session:
            session.add_all(
                Result(
                    job_id=job_id,
                    position=position,
                    seed=one.seed,
                    settings=one.settings,
                    picture=one.picture,
                    thumbnail=one.thumbnail,
                )
                for position, one in enumerate(results)
            )
            await session.execute(
                update(Job).where(Job.id == job_id).values(state="done", finished_at=datetime.now(UTC), **_ERASED)
            )

    async def failed(self, job_id: int, error: str) -> None:
        await self._set(job_id, state="failed", error=error, finished_at=datetime.now(UTC), **_ERASED)

    async def cancelled(self, job_id: int) -> None:
        await self._set(job_id, state="cancelled", finished_at=datetime.now(UTC), **_ERASED)

    async def _set(self, job_id: int, **values: Any) -> None:
        async with self._database.transaction() as session:
            await session.execute(update(Job).where(Job.id == job_id).values(**values))


def _record(job: Job) -> JobRecord:
    return JobRecord(
        job.id,
        job.user_id,
        job.channel_id,
        job.message_id,
        job.interaction_token,
        job.request,
        job.created_at,
        job.state,
        job.source,
    )


_ERASED: dict[str, Any] = {"interaction_token": None, "source": None}
