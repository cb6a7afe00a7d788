"""Limits of what a member may store. Called where identities and photos are added, inside their transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.errors import LimitReachedError
from storage.models import Identity, IdPhoto

_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """The most identities of a member, photos of an identity, and bytes of all photos of a member; ``None`` is
    without limit."""

    identities: int | None = None
    photos: int | None = None
    stored_bytes: int | None = None


async def check_identities(session: AsyncSession, limits: StorageLimits, owner_id: int) -> None:
    """Raise :class:`LimitReachedError` where a member can have no further identity."""
    if limits.identities is None:
        return
    number = await session.scalar(select(func.count()).where(Identity.owner_id == owner_id)) or 0
    if number >= limits.identities:
        raise LimitReachedError("You have {number} identities, which is the most. Delete one first.", number=number)


async def check_bytes(session: AsyncSession, limits: StorageLimits, owner_id: int, photos: Sequence[bytes]) -> None:
    """Raise :class:`LimitReachedError` where a member's photos would need too much room with these."""
    if limits.stored_bytes is None:
        return
    query = (
        select(func.sum(func.length(IdPhoto.content)))
        .join(Identity, Identity.id == IdPhoto.identity_id)
        .where(Identity.owner_id == owner_id)
    )
    stored = await session.scalar(query) or 0
    if stored + sum(map(len, photos)) > limits.stored_bytes:
        raise LimitReachedError(
            "All of your photos may take {most:.0f} MiB, and {stored:.1f} MiB are taken: there is no room for these. "
            "Delete some photos or identities first.",
            most=limits.stored_bytes / _MIB,
            stored=stored / _MIB,
        )
