"""Drawing jobs, their results, and what their members have not been told yet. Called by the bot's job services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.erasure import ERASED
from storage.errors import LimitReachedError
from storage.models import Identity, Job, JobIdentity, Result
from storage.servers import lock_server
from storage.users import lock_user

QUEUED: Final = "queued"
RUNNING: Final = "running"
DRAWN: Final = "drawn"
DELIVERED: Final = "delivered"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
REFUSED: Final = "refused"
JOB_STATES: Final = (QUEUED, RUNNING, DRAWN, DELIVERED, FAILED, CANCELLED, REFUSED, ERASED)
_OPEN: Final = (QUEUED, RUNNING)
_OLDEST_FIRST: Final = select(Job).order_by(Job.id)
_COUNTED: Final = (QUEUED, RUNNING, DRAWN, DELIVERED, REFUSED, ERASED)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as a command accepts it. ``request`` is JSON; ``source`` the picture it starts from, if any.

    ``guild_id`` is the server whose rules hold, ``pictures`` the number of pictures, ``identity_ids`` the people in
    them.
    """

    user_id: int
    channel_id: int
    message_id: int | None
    interaction_token: str | None = field(repr=False)
    request: dict[str, Any]
    source: bytes | None = None
    guild_id: int | None = None
    pictures: int = 1
    identity_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class JobLimits:
    """The most that a member, and all members of a server together, may have at once and in the last 24 hours, and
    the longest wait in seconds; ``None`` is without limit."""

    open_jobs: int | None = None
    pictures_a_day: int | None = None
    server_open_jobs: int | None = None
    server_pictures_a_day: int | None = None
    wait_s: float | None = None


UNLIMITED: Final = JobLimits()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """An accepted job; ``state`` is one of ``JOB_STATES``, ``attempts`` counts how often its drawing has begun.

    Once it has ended, ``error`` is what its member reads of a failure or a refusal, ``dropped_text`` the end of the
    prompt that the model did not see.
    """

    id: int
    user_id: int
    channel_id: int
    message_id: int | None
    interaction_token: str | None = field(repr=False)
    request: dict[str, Any]
    created_at: datetime
    state: str
    attempts: int = 0
    error: str | None = None
    dropped_text: str | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewResult:
    """The seed of one new picture and its encoded bytes; ``thumbnail`` is a small JPEG, ``is_spoiler`` says that both
    are shown behind a spoiler."""

    seed: int
    picture: bytes | None = None
    thumbnail: bytes | None = None
    is_spoiler: bool = False


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """One encoded picture of a job, as it is to be shown."""

    content: bytes
    is_spoiler: bool = False


@dataclass(frozen=True, slots=True)
class PastJob:
    """A delivered job and a small JPEG of its first picture, where there is one, behind a spoiler or not."""

    record: JobRecord
    thumbnail: bytes | None
    is_spoiler: bool = False


class JobStore:
    """The jobs' life: queued, running, then drawn and delivered, or failed, or cancelled, or refused: what was drawn
    may not be shown.

    A job that has ended awaits delivery until its member knows. What ends a job says whether it was open until then:
    the first end is the one that counts.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, new: NewJob, limits: JobLimits = UNLIMITED) -> JobRecord:
        """Count what the member and the server have and store one more, in one locked transaction.

        Raises :class:`LimitReachedError`.
        """
        async with self._database.transaction() as session:
            await lock_user(session, new.user_id)
            await _check_member(session, new, limits)
            if new.guild_id is not None:
                await lock_server(session, new.guild_id)
                await _check_server(session, new, limits)
            values = asdict(new)
            people = values.pop("identity_ids")
            job = Job(**values, error=None, dropped_text=None, finished_at=None)
            session.add(job)
            await session.flush()
            await _link_people(session, job.id, people)
        return record_of(job)

    async def unfinished(self) -> list[JobRecord]:
        """The accepted jobs that have not ended, oldest first: those to resume after a restart."""
        async with self._database.reading() as session:
            return [record_of(job) for job in await session.scalars(_OLDEST_FIRST.where(Job.state.in_(_OPEN)))]

    async def undelivered(self) -> list[JobRecord]:
        """The ended jobs that their members have not been told of, oldest first."""
        async with self._database.reading() as session:
            return [record_of(job) for job in await session.scalars(_OLDEST_FIRST.where(Job.awaits_delivery))]

    async def by_message(self, message_id: int) -> JobRecord | None:
        """The job that a message shows, the newest where there are several."""
        query = select(Job).where(Job.message_id == message_id).order_by(Job.id.desc()).limit(1)
        async with self._database.reading() as session:
            job = await session.scalar(query)
            return None if job is None else record_of(job)

    async def history(self, user_id: int, limit: int, offset: int = 0) -> list[PastJob]:
        """A member's delivered jobs, the newest first, each with its first thumbnail."""
        query = (
            select(Job, Result.thumbnail, Result.is_spoiler)
            .join(Result, (Result.job_id == Job.id) & (Result.position == 0))
            .where(Job.user_id == user_id, Job.state == DELIVERED)
            .order_by(Job.id.desc())
            .limit(limit)
            .offset(offset)
        )
        async with self._database.reading() as session:
            return [
                PastJob(record_of(job), thumbnail, is_spoiler)
                for job, thumbnail, is_spoiler in await session.execute(query)
            ]

    async def counts(self, guild_id: int) -> dict[str, int]:
        """The number of a server's jobs in each state."""
        query = select(Job.state, func.count()).where(Job.guild_id == guild_id).group_by(Job.state)
        async with self._database.reading() as session:
            return dict((await session.execute(query)).tuples().all())

    async def source(self, job_id: int) -> bytes | None:
        """The picture that a job starts from."""
        async with self._database.reading() as session:
            return await session.scalar(select(Job.source).where(Job.id == job_id))

    async def pictures(self, job_id: int) -> list[DrawnPicture]:
        """A job's pictures in order, as long as they are there."""
        query = (
            select(Result.picture, Result.is_spoiler)
            .where(Result.job_id == job_id, Result.picture.is_not(None))
            .order_by(Result.position)
        )
        async with self._database.reading() as session:
            found = (await session.execute(query)).tuples()
            return [DrawnPicture(content, is_spoiler) for content, is_spoiler in found if content is not None]

    async def moved(self, job_id: int, message_id: int) -> None:
        """Note that another message shows the job from now on."""
        async with self._database.transaction() as session:
            await session.execute(update(Job).where(Job.id == job_id).values(message_id=message_id))

    async def begun(self, job_id: int) -> bool:
        """Note that drawing begins, and count the attempt; False where the job is not open any more."""
        return await self._change_open(job_id, state=RUNNING, started_at=datetime.now(UTC), attempts=Job.attempts + 1)

    async def interrupted(self, job_ids: Sequence[int]) -> None:
        """Put jobs back that the bot stops drawing of its own will: such an attempt does not count."""
        change = update(Job).where(Job.id.in_(job_ids), Job.state == RUNNING)
        async with self._database.transaction() as session:
            await session.execute(change.values(state=QUEUED, attempts=Job.attempts - 1))

    async def drawn(
        self,
        job_id: int,
        results: Sequence[NewResult],
        dropped_text: str = "",
        found: Mapping[str, Any] | None = None,
    ) -> bool:
        """End the drawing and keep its pictures until they are delivered, with the request as it stands in the row by
        now: names may have been taken out of it. ``found`` are entries of it that only drawing could tell."""
        async with self._database.transaction() as session:
            is_open = await _change_open(session, job_id, state=DRAWN, dropped_text=dropped_text or None, **_ended())
            if is_open:
                row = await session.get_one(Job, job_id, populate_existing=True)
                if found:
                    row.request = {**row.request, **found}
                session.add_all(
                    Result(job_id=job_id, position=position, settings=row.request, **asdict(one))
                    for position, one in enumerate(results)
                )
            return is_open

    async def failed(self, job_id: int, error: str) -> bool:
        return await self._change_open(job_id, state=FAILED, error=error, **_ended())

    async def refused(self, job_id: int, reason: str) -> bool:
        """End a job whose pictures may not be shown; nothing is kept of them."""
        return await self._change_open(job_id, state=REFUSED, error=reason, **_ended())

    async def cancelled(self, job_id: int) -> bool:
        return await self._change_open(job_id, state=CANCELLED, **_ended())

    async def delivered(self, job_id: int, message_id: int | None, *, keep_pictures: bool) -> None:
        """Note that the member knows, by which message, and erase what only delivery needed."""
        shown = {} if message_id is None else {"message_id": message_id}
        await self._settle(job_id, {"state": DELIVERED}, shown, keep_pictures)

    async def undeliverable(self, job_id: int, reason: str, *, keep_pictures: bool) -> None:
        """Give the delivery up: drawn pictures count as failed, with the reason, and the member is :meth:`untold`."""
        await self._settle(job_id, {"state": FAILED, "error": reason}, {"is_untold": True}, keep_pictures)

    async def untold(self, user_id: int, limit: int) -> list[JobRecord]:
        """A member's jobs of whose end no place took the word, the oldest first."""
        query = _OLDEST_FIRST.where(Job.user_id == user_id, Job.is_untold).limit(limit)
        async with self._database.reading() as session:
            return [record_of(job) for job in await session.scalars(query)]

    async def told(self, job_ids: Sequence[int]) -> None:
        """Note that a member has read of the ends of their jobs after all."""
        async with self._database.transaction() as session:
            await session.execute(update(Job).where(Job.id.in_(job_ids)).values(is_untold=False))

    async def _settle(
        self, job_id: int, drawn_becomes: dict[str, Any], every: dict[str, Any], keep_pictures: bool
    ) -> None:
        change = update(Job).where(Job.id == job_id, Job.awaits_delivery)
        async with self._database.transaction() as session:
            await session.execute(change.where(Job.state == DRAWN).values(drawn_becomes))
            await session.execute(change.values(awaits_delivery=False, interaction_token=None, **every))
            if not keep_pictures:
                await session.execute(update(Result).where(Result.job_id == job_id).values(picture=None))

    async def _change_open(self, job_id: int, **values: Any) -> bool:
        async with self._database.transaction() as session:
            return await _change_open(session, job_id, **values)


async def _change_open(session: AsyncSession, job_id: int, **values: Any) -> bool:
    """Change a job that has not ended, in one statement; whether there was one."""
    change = update(Job).where(Job.id == job_id, Job.state.in_(_OPEN)).values(**values).returning(Job.id)
    return await session.scalar(change) is not None


async def _link_people(session: AsyncSession, job_id: int, identity_ids: Sequence[int]) -> None:
    """Note whom a job draws; people who are gone by now are passed over."""
    there = select(literal(job_id), Identity.id).where(Identity.id.in_(identity_ids))
    there = there.with_for_update(read=True, key_share=True)
    await session.execute(insert(JobIdentity).from_select(["job_id", "identity_id"], there))


async def _check_member(session: AsyncSession, new: NewJob, limits: JobLimits) -> None:
    if limits.open_jobs is None and limits.pictures_a_day is None:
        return
    jobs, pictures = await _counted(session, Job.user_id == new.user_id)
    if limits.open_jobs is not None and jobs >= limits.open_jobs:
        raise LimitReachedError(
            "Open jobs of yours: {number}, which is the most. Wait for one to finish, or cancel it.", number=jobs
        )
    if limits.pictures_a_day is not None and pictures + new.pictures > limits.pictures_a_day:
        raise LimitReachedError(
            "Pictures of yours in the last 24 hours: {number}; {most} are the most. Please come back later.",
            number=pictures,
            most=limits.pictures_a_day,
        )


async def _check_server(session: AsyncSession, new: NewJob, limits: JobLimits) -> None:
    if limits.server_open_jobs is None and limits.server_pictures_a_day is None:
        return
    jobs, pictures = await _counted(session, Job.guild_id == new.guild_id)
    if limits.server_open_jobs is not None and jobs >= limits.server_open_jobs:
        raise LimitReachedError(
            "Open jobs of this server: {number}, which is the most. Please try again when some have finished.",
            number=jobs,
        )
    if limits.server_pictures_a_day is not None and pictures + new.pictures > limits.server_pictures_a_day:
        raise LimitReachedError(
            "Pictures of this server in the last 24 hours: {number}; {most} are the most. Please come back later.",
            number=pictures,
            most=limits.server_pictures_a_day,
        )


async def _counted(session: AsyncSession, theirs: ColumnElement[bool]) -> tuple[int, int]:
    """The open jobs and the pictures of the last 24 hours."""
    is_open, is_recent = Job.state.in_(_OPEN), Job.created_at > datetime.now(UTC) - timedelta(days=1)
    query = select(
        func.count().filter(is_open), func.sum(Job.pictures).filter(is_recent, Job.state.in_(_COUNTED))
    ).where(theirs, or_(is_open, is_recent))
    jobs, pictures = (await session.execute(query)).one()
    return jobs, pictures or 0


def record_of(job: Job) -> JobRecord:
    """A row as the bot's services take it."""
    return JobRecord(
        id=job.id,
        user_id=job.user_id,
        channel_id=job.channel_id,
        message_id=job.message_id,
        interaction_token=job.interaction_token,
        request=job.request,
        created_at=job.created_at,
        state=job.state,
        attempts=job.attempts,
        error=job.error,
        dropped_text=job.dropped_text,
        finished_at=job.finished_at,
    )


def _ended() -> dict[str, Any]:
    return {"finished_at": datetime.now(UTC), "source": None, "awaits_delivery": True}
