"""The pictures of finished jobs. Called where a member or a moderator deletes a picture."""

from __future__ import annotations

from sqlalchemy import delete

from storage.database import Database
from storage.models import Result


class ResultStore:
    """Removes what is kept of pictures: seeds, thumbnails and, where the operator wants it, the pictures themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_of(self, job_id: int) -> int:
        """Remove a job's results, from the database's files too; returns how many pictures there were."""
        async with self._database.transaction() as session:
            deleted = await session.execute(delete(Result).where(Result.job_id == job_id).returning(Result.id))
            number = len(deleted.all())
        await self._database.scrub()
        return number
