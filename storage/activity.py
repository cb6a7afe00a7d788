"""The pictures of an identity, for its owner: who had them drawn, when, and how. Called by /identity activity."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.erasure import erase_job
from storage.errors import NotFoundError
from storage.jobs import DELIVERED, JobRecord, PastJob, record_of
from storage.models import Identity, Job, JobIdentity, Result


class ActivityStore:
    """Reads and erases what others, and the owner, had drawn of a person."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, owner_id: int, identity_id: int, limit: int, offset: int = 0) -> list[PastJob]:
        """The delivered jobs with a person of the owner's, the newest first, each with its first thumbnail.

        Raises :class:`NotFoundError`.
        """
        query = (
            select(Job, Result.thumbnail, Result.is_spoiler)
            .join(JobIdentity, JobIdentity.job_id == Job.id)
            .join(Result, (Result.job_id == Job.id) & (Result.position == 0))
            .where(JobIdentity.identity_id == identity_id, Job.state == DELIVERED)
            .order_by(Job.id.desc())
            .limit(limit)
            .offset(offset)
        )
        async with self._database.reading() as session:
            await _check_owner(session, owner_id, identity_id)
            return [
                PastJob(record_of(job), thumbnail, is_spoiler)
                for job, thumbnail, is_spoiler in await session.execute(query)
            ]

    async def find(self, owner_id: int, identity_id: int, job_id: int) -> JobRecord:
        """One of those jobs; raises :class:`NotFoundError` where it is gone or not of this person."""
        query = (
            select(Job)
            .join(JobIdentity, JobIdentity.job_id == Job.id)
            .where(Job.id == job_id, JobIdentity.identity_id == identity_id, Job.state == DELIVERED)
        )
        async with self._database.reading() as session:
            await _check_owner(session, owner_id, identity_id)
            job = await session.scalar(query)
        if job is None:
            raise NotFoundError("This picture is not there any more.")
        return record_of(job)

    async def erase(self, owner_id: int, identity_id: int, job_id: int) -> bool:
        """Erase what is stored of a job's pictures, prompt and settings.

        Returns whether no file of the database holds a trace any more. Raises :class:`NotFoundError`.
        """
        await self.find(owner_id, identity_id, job_id)
        async with self._database.transaction() as session:
            await erase_job(session, job_id)
        return await self._database.scrub()


async def _check_owner(session: AsyncSession, owner_id: int, identity_id: int) -> None:
    if await session.scalar(select(Identity.owner_id).where(Identity.id == identity_id)) != owner_id:
        raise NotFoundError("This identity does not exist any more.")
