"""Who else may draw an identity. Called by /identity share and unshare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, select

from storage.database import Database
from storage.identities import MEMBER, SERVER, IdentityInfo, IdentityStore
from storage.models import IdentityShare

ShareKind = Literal["member", "server"]


@dataclass(frozen=True, slots=True)
class Share:
    """An identity is shared with a member or a server, by its Discord id."""

    kind: ShareKind
    target_id: int


class SharingStore:
    """Shares are given and taken by an identity's owner alone."""

    def __init__(self, database: Database) -> None:
        self._database, self._identities = database, IdentityStore(database)

    async def share(self, owner_id: int, name: str, share: Share) -> IdentityInfo:
        """Let others draw an identity; sharing it twice changes nothing. Raises :class:`NotFoundError`."""
        found = await self._identities.find(owner_id, name)
        async with self._database.transaction() as session:
            await session.merge(IdentityShare(identity_id=found.id, kind=share.kind, target_id=share.target_id))
        return found

    async def unshare(self, owner_id: int, name: str, share: Share | None = None) -> tuple[IdentityInfo, int]:
        """Take one share back, or all of them; also tells how many there were. Raises :class:`NotFoundError`."""
        found = await self._identities.find(owner_id, name)
        query = delete(IdentityShare).where(IdentityShare.identity_id == found.id)
        if share is not None:
            query = query.where(IdentityShare.kind == share.kind, IdentityShare.target_id == share.target_id)
        async with self._database.transaction() as session:
            taken = await session.execute(query.returning(IdentityShare.target_id))
            return found, len(taken.all())

    async def shares_of(self, identity_id: int) -> list[Share]:
        query = (
            select(IdentityShare.kind, IdentityShare.target_id)
            .where(IdentityShare.identity_id == identity_id)
            .order_by(IdentityShare.created_at)
        )
        async with self._database.transaction() as session:
            return [
                Share(MEMBER if kind == MEMBER else SERVER, target) for kind, target in await session.execute(query)
            ]
