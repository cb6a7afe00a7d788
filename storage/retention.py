"""Erasing what has been kept as long as the operator allows. Called by the bot and by ``photomaker-bot db``.

What waits, is drawn, or has not reached its member is never touched, however old it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Text, cast, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.models import Job, Result

BATCH: Final = 100
"""The most jobs of one transaction."""
PAUSE_S: Final = 0.01
"""Time for others to write between two transactions."""
_OPEN: Final = ("queued", "running", "drawn")

_Change = Callable[[AsyncSession, Sequence[int]], Any]


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    """How many days something is kept after its job has ended; ``None`` is for ever."""

    prompts: int | None = None
    thumbnails: int | None = None
    pictures: int | None = None
    jobs: int | None = None

    @property
    def are_endless(self) -> bool:
        return all(getattr(self, one.name) is None for one in fields(self))


@dataclass(frozen=True, slots=True)
class Expired:
    """How many jobs lost their prompt, their thumbnails, their pictures, or everything.

    ``is_final`` says that no file of the database holds a trace any more; else another process is reading it, and the
    database goes on trying.
    """

    prompts: int
    thumbnails: int
    pictures: int
    jobs: int
    is_final: bool

    @property
    def is_nothing(self) -> bool:
        return not (self.prompts or self.thumbnails or self.pictures or self.jobs)


class RetentionStore:
    """Erases by age."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase_expired(self, periods: RetentionPeriods, now: datetime | None = None) -> Expired:
        """Erase what is older than its period, in short transactions with a pause between two of them.

        Whole jobs go first: nothing is erased twice. An interruption loses nothing but time: the next call goes on.
        """
        now = now or datetime.now(UTC)
        has_thumbnail = select(Result.id).where(Result.job_id == Job.id, Result.thumbnail.is_not(None)).exists()
        has_picture = select(Result.id).where(Result.job_id == Job.id, Result.picture.is_not(None)).exists()
        has_settings = select(Result.id).where(Result.job_id == Job.id, _has_content(Result.settings)).exists()
        has_prompt = or_(_has_content(Job.request), has_settings, Job.dropped_text.is_not(None), Job.error.is_not(None))
        jobs = await self._erase(periods.jobs, now, None, _delete_jobs)
        prompts = await self._erase(periods.prompts, now, has_prompt, _erase_prompts)
        thumbnails = await self._erase(periods.thumbnails, now, has_thumbnail, _erase_thumbnails)
        pictures = await self._erase(periods.pictures, now, has_picture, _erase_pictures)
        is_final = await self._database.scrub() if jobs or prompts or thumbnails or pictures else True
        return Expired(prompts, thumbnails, pictures, jobs, is_final)

    async def _erase(
        self, days: int | None, now: datetime, is_there: ColumnElement[bool] | None, change: _Change
    ) -> int:
        if days is None:
            return 0
        query = _ended_before(now - timedelta(days=days))
        if is_there is not None:
            query = query.where(is_there)
        erased, last = 0, 0
        while True:
            async with self._database.reading() as session:
                ids = (await session.scalars(query.where(Job.id > last).order_by(Job.id).limit(BATCH))).all()
            if not ids:
                return erased
            async with self._database.transaction() as session:
                await change(session, ids)
            erased, last = erased + len(ids), ids[-1]
            await asyncio.sleep(PAUSE_S)


def _ended_before(moment: datetime) -> Select[int]:
    """Jobs whose members know how they ended. Rows of early versions do not tell when that was."""
    return select(Job.id).where(
        Job.state.not_in(_OPEN),
        Job.awaits_delivery.is_(False),
        func.coalesce(Job.finished_at, Job.created_at, type_=Job.created_at.type) < moment,
    )


def _has_content(column: Any) -> ColumnElement[bool]:
    return cast(column, Text) != "{}"


async def _delete_jobs(session: AsyncSession, job_ids: Sequence[int]) -> None:
    await session.execute(delete(Job).where(Job.id.in_(job_ids)))


async def _erase_prompts(session: AsyncSession, job_ids: Sequence[int]) -> None:
    jobs = update(Job).where(Job.id.in_(job_ids))
    await session.execute(jobs.values(request={}, source=None, error=None, dropped_text=None))
    await session.execute(update(Result).where(Result.job_id.in_(job_ids)).values(settings={}, seed=0))


async def _erase_thumbnails(session: AsyncSession, job_ids: Sequence[int]) -> None:
    await session.execute(update(Result).where(Result.job_id.in_(job_ids)).values(thumbnail=None))


async def _erase_pictures(session: AsyncSession, job_ids: Sequence[int]) -> None:
    await session.execute(update(Result).where(Result.job_id.in_(job_ids)).values(picture=None))
