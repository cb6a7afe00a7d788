"""The rows that stand for Discord users. Called by the other stores."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import User


async def ensure_user(session: AsyncSession, user_id: int) -> None:
    """Make sure that rows can refer to this user."""
    if await session.get(User, user_id) is None:
        session.add(User(id=user_id))
        await session.flush()
