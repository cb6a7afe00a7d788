"""Everything stored that decides about one drawing, read in one transaction. Called by the bot's drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.face_opt_outs import is_locked
from storage.identities import MEMBER, accessible_to, name_key
from storage.models import Identity, IdentityShare
from storage.preferences import Preferences, preferences_of
from storage.servers import Rules, rules_of

Access = Literal["own", "member", "server"]
"""Why a user may draw an identity: it is theirs, or shared with them, or with the whole server."""

Wanted = int | str | None
"""The person to draw: an identity by number or name; ``None`` is the user's default or the one they added last."""


@dataclass(frozen=True, slots=True)
class UsableIdentity:
    """An identity that a user may draw, as far as the database knows."""

    id: int
    owner_id: int
    name: str
    access: Access
    is_locked: bool = False
    """Whether somebody else has registered a face that its photos show."""


@dataclass(frozen=True, slots=True)
class StoredContext:
    """A user's preferences, the server's rules, and for each wanted person the identities that fit, best first."""

    preferences: Preferences
    rules: Rules
    people: tuple[tuple[UsableIdentity, ...], ...]


class DrawContextStore:
    """Reads what a drawing depends on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, user_id: int, guild_id: int | None, wanted: Sequence[Wanted]) -> StoredContext:
        """Read the context of a user in a server, or outside of servers where ``guild_id`` is ``None``."""
        async with self._database.reading() as session:
            preferences = await preferences_of(session, user_id)
            rules = Rules() if guild_id is None else await rules_of(session, guild_id)
            resolved = [preferences.identity_id if one is None else one for one in wanted]
            found = await _usable(session, user_id, guild_id, resolved) if wanted else []
        newest_own = tuple(one for one in reversed(found) if one.access == "own")[:1]
        return StoredContext(
            preferences,
            rules,
            tuple(newest_own if one is None else _matching(found, one) for one in resolved),
        )


async def _usable(
    session: AsyncSession, user_id: int, guild_id: int | None, wanted: Sequence[Wanted]
) -> list[UsableIdentity]:
    """The usable identities that any of ``wanted`` can mean, oldest first."""
    is_wanted: list[ColumnElement[bool]] = [
        Identity.id.in_([one for one in wanted if isinstance(one, int)]),
        Identity.name_key.in_([name_key(one) for one in wanted if isinstance(one, str)]),
    ]
    if None in wanted:
        newest = select(func.max(Identity.id)).where(Identity.owner_id == user_id).scalar_subquery()
        is_wanted.append(Identity.id == newest)
    with_member = exists().where(
        IdentityShare.identity_id == Identity.id,
        IdentityShare.kind == MEMBER,
        IdentityShare.target_id == user_id,
    )
    rows = await session.execute(
        select(Identity.id, Identity.owner_id, Identity.name, with_member, is_locked())
        .where(or_(*is_wanted), accessible_to(user_id, guild_id))
        .order_by(Identity.id)
    )
    return [
        UsableIdentity(
            identity_id,
            owner_id,
            name,
            "own" if owner_id == user_id else "member" if is_with_member else "server",
            locked,
        )
        for identity_id, owner_id, name, is_with_member, locked in rows
    ]


def _matching(found: Sequence[UsableIdentity], wanted: int | str) -> tuple[UsableIdentity, ...]:
    """One's own before those that are shared, older before newer."""
    if isinstance(wanted, int):
        return tuple(one for one in found if one.id == wanted)
    named = [one for one in found if name_key(one.name) == name_key(wanted)]
    return tuple(sorted(named, key=lambda one: one.access != "own"))
