"""Erasing what rows say about somebody where the rows themselves stay. Called where identities and pictures go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Text, cast, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Job, JobIdentity, Result

FORGOTTEN_NAME: Final = "somebody"
"""The word in place of the name of a deleted person."""

ERASED: Final = "deleted"
"""The state of a job whose pictures were deleted by a member."""


async def forget_names(session: AsyncSession, identity_ids: Sequence[int], *, except_for: int) -> None:
    """Take the names of identities out of the stored requests of everybody but one user."""
    if not identity_ids:
        return
    wanted = set(identity_ids)
    jobs = select(Job.id, Job.request).where(Job.user_id != except_for, _mentions(Job.request, wanted))
    for job_id, request in (await session.execute(jobs)).all():
        await session.execute(update(Job).where(Job.id == job_id).values(request=_without_names(request, wanted)))
    results = (
        select(Result.id, Result.settings)
        .join(Job, Job.id == Result.job_id)
        .where(Job.user_id != except_for, _mentions(Result.settings, wanted))
    )
    for result_id, settings in (await session.execute(results)).all():
        await session.execute(
            update(Result).where(Result.id == result_id).values(settings=_without_names(settings, wanted))
        )


async def erase_job(session: AsyncSession, job_id: int) -> None:
    """Erase what a job was and what came of it. Its row stays, for what is counted by member and day."""
    await session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(
            state=ERASED,
            awaits_delivery=False,
            is_untold=False,
            request={},
            source=None,
            interaction_token=None,
            error=None,
            dropped_text=None,
            message_id=None,
        )
    )
    await session.execute(delete(JobIdentity).where(JobIdentity.job_id == job_id))
    await session.execute(
        update(Result)
        .where(Result.job_id == job_id)
        .values(seed=0, settings={}, picture=None, thumbnail=None, is_spoiler=False)
    )


def _mentions(column: Any, identity_ids: set[int]) -> Any:
    """Rows whose JSON may name one of the identities; what it says exactly is read from what it holds."""
    return or_(*(cast(column, Text).contains(f'"identity_id": {identity_id}') for identity_id in identity_ids))


def _without_names(content: Any, identity_ids: set[int]) -> Any:
    if not isinstance(content, dict) or not isinstance(content.get("identities"), list):
        return content
    people = [
        {**one, "name": FORGOTTEN_NAME} if isinstance(one, dict) and one.get("identity_id") in identity_ids else one
        for one in content["identities"]
    ]
    return {**content, "identities": people}
