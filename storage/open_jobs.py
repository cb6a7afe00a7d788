"""Pages of the jobs that wait or are drawn. Called by /queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from storage.database import Database
from storage.models import Job

OPEN_STATES: Final = ("queued", "running")


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """An open job of a user, and how many open jobs were there before it."""

    id: int
    request: dict[str, Any]
    jobs_before: int


@dataclass(frozen=True, slots=True)
class QueuePage:
    """The number of open jobs, the number of those that are the user's, and the first of these."""

    open_jobs: int
    own_jobs: int
    first: list[QueuedJob]


class OpenJobStore:
    """Reads the queue without what its jobs start from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, user_id: int, limit: int) -> QueuePage:
        """The queue as a user sees it, with at most ``limit`` of their jobs, oldest first."""
        earlier = aliased(Job)
        before = (
            select(func.count())
            .where(earlier.state.in_(OPEN_STATES), earlier.id < Job.id)
            .correlate(Job)
            .scalar_subquery()
        )
        is_own = Job.state.in_(OPEN_STATES), Job.user_id == user_id
        async with self._database.reading() as session:
            total = await session.scalar(select(func.count()).select_from(Job).where(Job.state.in_(OPEN_STATES)))
            own = await session.scalar(select(func.count()).select_from(Job).where(*is_own))
            rows = await session.execute(
                select(Job.id, Job.request, before).where(*is_own).order_by(Job.id).limit(limit)
            )
            return QueuePage(total or 0, own or 0, [QueuedJob(*row) for row in rows])
