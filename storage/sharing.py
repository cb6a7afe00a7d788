"""Shares of identities with members and servers. Called by /identity share and unshare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.identities import MEMBER, SERVER, IdentityInfo, own_identity
from storage.models import IdentityShare
from storage.upserts import insert_unless_there
from storage.users import lock_user

ShareKind = Literal["member", "server"]


@dataclass(frozen=True, slots=True)
class Share:
    """The right of a member or a server, by its Discord id, to draw an identity."""

    kind: ShareKind
    target_id: int


class SharingStore:
    """Gives and takes shares, for an identity's owner alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def share(self, owner_id: int, name: str, share: Share) -> IdentityInfo:
        """Let others draw an identity; sharing it twice changes nothing. Raises :class:`NotFoundError`."""
        async with self._database.transaction() as session:
            await lock_user(session, owner_id)
            found = await own_identity(session, owner_id, name)
            row = {"identity_id": found.id, "kind": share.kind, "target_id": share.target_id}
            await insert_unless_there(session, IdentityShare, row)
            return found

    async def unshare(self, owner_id: int, name: str, share: Share | None = None) -> tuple[IdentityInfo, int]:
        """Take one share back, or all of them; also tells how many there were. Raises :class:`NotFoundError`."""
        async with self._database.transaction() as session:
            await lock_user(session, owner_id)
            found = await own_identity(session, owner_id, name)
            query = delete(IdentityShare).where(IdentityShare.identity_id == found.id)
            if share is not None:
                query = query.where(IdentityShare.kind == share.kind, IdentityShare.target_id == share.target_id)
            taken = await session.execute(query.returning(IdentityShare.target_id))
            return found, len(taken.all())

    async def shares_of(self, identity_id: int) -> list[Share]:
        """With whom an identity is shared, the oldest share first."""
        async with self._database.reading() as session:
            return await shares_of(session, identity_id)


async def shares_of(session: AsyncSession, identity_id: int) -> list[Share]:
    """With whom an identity is shared, the oldest share first."""
    query = (
        select(IdentityShare.kind, IdentityShare.target_id)
        .where(IdentityShare.identity_id == identity_id)
        .order_by(IdentityShare.created_at)
    )
    return [Share(MEMBER if kind == MEMBER else SERVER, target) for kind, target in await session.execute(query)]
