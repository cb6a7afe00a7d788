"""The rows that stand for Discord users. Called by the other stores."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import User
from storage.upserts import insert_unless_there


async def ensure_user(session: AsyncSession, user_id: int) -> None:
    """Make sure that rows can refer to this user."""
    await insert_unless_there(session, User, {"id": user_id})


async def lock_user(session: AsyncSession, user_id: int) -> None:
    """Make sure that rows can refer to this user, and keep others from changing what is theirs until the end of the
    transaction. SQLite's writing transactions exclude each other anyway."""
    query = select(User.id).where(User.id == user_id).with_for_update()
    while True:
        await ensure_user(session, user_id)
        if await session.scalar(query) is not None:
            return
