"""What members declared about the people in their photos, word by word. Called by the identity stores and /privacy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Consent, Identity


@dataclass(frozen=True, slots=True)
class Wording:
    """The sentence that a member read and chose, in their language, and the version of its English original."""

    sentence: str
    version: int


@dataclass(frozen=True, slots=True)
class ConsentInfo:
    """One declaration. ``sentence``, ``version`` and ``photos`` (how many photos were handed in with it) are ``None``
    where an earlier version of the bot recorded it."""

    identity_id: int
    identity_name: str
    declaration: str
    sentence: str | None
    version: int | None
    photos: int | None
    given_at: datetime


def record_consent(
    session: AsyncSession, identity_id: int, user_id: int, declaration: str, wording: Wording | None, photos: int
) -> None:
    """Store a declaration in the transaction that stores its photos."""
    session.add(
        Consent(
            identity_id=identity_id,
            user_id=user_id,
            declaration=declaration,
            sentence=None if wording is None else wording.sentence,
            version=None if wording is None else wording.version,
            photos=photos,
        )
    )


async def consents_of(session: AsyncSession, user_id: int) -> list[ConsentInfo]:
    """A user's declarations, oldest first."""
    query = (
        select(
            Consent.identity_id,
            Identity.name,
            Consent.declaration,
            Consent.sentence,
            Consent.version,
            Consent.photos,
            Consent.given_at,
        )
        .join(Identity, Identity.id == Consent.identity_id)
        .where(Consent.user_id == user_id)
        .order_by(Consent.id)
    )
    return [ConsentInfo(*row) for row in await session.execute(query)]
