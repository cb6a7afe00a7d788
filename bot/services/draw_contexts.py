"""The context of a drawing: whom the member may draw here and now, what they prefer, and what the server's rules are.

It is loaded once for each drawing and handed on. Called by the drawing service, and where a waiting job begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import discord

from bot.services.memberships import MembershipService, MembershipUnknownError
from photomaker_core.errors import UserError
from storage import (
    DrawContextStore,
    IdentityInfo,
    NotFoundError,
    Preferences,
    Rules,
    StoredContext,
    UsableIdentity,
    Wanted,
)

_NAMING_PATIENCE_S: Final = 1.5
"""The longest wait before people are named: Discord waits 3 s for a suggestion."""


@dataclass(frozen=True, slots=True)
class DrawContext:
    """Everything that one drawing depends on besides its request.

    ``guild_id`` is the server whose rules hold; ``channel_ids`` the channel where the member asks and, for a thread,
    its parent; ``role_ids`` the member's roles on the server; ``people`` the identities in the order asked for.
    """

    guild_id: int | None
    channel_ids: frozenset[int]
    role_ids: frozenset[int]
    preferences: Preferences
    rules: Rules
    people: tuple[UsableIdentity, ...]


class DrawContextService:
    """Loads contexts: one transaction, and a question to Discord only where somebody may have left a server."""

    def __init__(self, store: DrawContextStore, memberships: MembershipService) -> None:
        self._store, self._memberships = store, memberships

    async def load(
        self, interaction: discord.Interaction, wanted: Sequence[Wanted] = (), asked_in: int | None = None
    ) -> DrawContext:
        """The context of an interaction with the people ``wanted``.

        ``asked_in`` is the server of an earlier request that is asked for again: where that happens in direct
        messages, the server's rules still hold, for those who are still its members.

        Raises :class:`NotFoundError` for somebody whom the member may not draw, :class:`UserError` for a person who
        has registered their face, and for a server that the member has left.
        """
        guild_id = interaction.guild_id
        member: discord.Member | None = interaction.user if isinstance(interaction.user, discord.Member) else None
        if guild_id is None and asked_in is not None:
            guild_id, member = asked_in, await self._member(asked_in, interaction.user.id)
        stored = await self._store.load(interaction.user.id, guild_id, wanted)
        parent = getattr(interaction.channel, "parent_id", None)
        return DrawContext(
            guild_id,
            frozenset(one for one in (interaction.channel_id, parent) if one is not None),
            frozenset(role.id for role in member.roles) if member is not None else frozenset(),
            stored.preferences,
            stored.rules,
            tuple([await self._person(stored, index, one, guild_id) for index, one in enumerate(wanted)]),
        )

    async def check_people(self, user_id: int, guild_id: int | None, identity_ids: Sequence[int]) -> None:
        """Check access once more, when a waiting drawing begins.

        Raises :class:`NotFoundError` for an identity that the user may not draw in that server any more: also where
        it is shared with the server and the user has left.
        """
        stored = await self._store.load(user_id, guild_id, identity_ids)
        for index, identity_id in enumerate(identity_ids):
            one = await self._person(stored, index, identity_id, guild_id)
            if guild_id is None or one.access != "server":
                continue
            if not await self._memberships.may_be_in(guild_id, user_id):
                raise NotFoundError(_GONE)

    async def drawable(self, user_id: int, guild_id: int | None, people: Sequence[IdentityInfo]) -> list[IdentityInfo]:
        """Those of some people that a user may draw in a server by today's facts: of what is shared with the server,
        what its members share. Where Discord takes long to say who that is, nobody who is unknown is named."""
        stored = await self._store.load(user_id, guild_id, [one.id for one in people])
        usable = {one.id: one for found in stored.people for one in found}
        owners = {one.owner_id for one in usable.values() if one.access == "server"}
        there = owners if guild_id is None else await self._owners_in(guild_id, owners)
        return [
            one
            for one in people
            if one.id in usable
            and not usable[one.id].is_locked
            and (usable[one.id].access != "server" or one.owner_id in there)
        ]

    async def _owners_in(self, guild_id: int, owners: Collection[int]) -> set[int]:
        asked = {asyncio.ensure_future(self._memberships.may_be_in(guild_id, one)): one for one in owners}
        if not asked:
            return set()
        done, late = await asyncio.wait(asked, timeout=_NAMING_PATIENCE_S)
        for task in late:
            task.cancel()
        return {asked[task] for task in done if task.result()}

    async def _member(self, guild_id: int, user_id: int) -> discord.Member:
        try:
            member = await self._memberships.find(guild_id, user_id)
        except MembershipUnknownError:
            raise UserError("Discord does not answer right now. Please try again in a minute.") from None
        if member is None:
            raise UserError(
                "You are not on the server any more where you asked for this. Draw a new one with /imagine."
            )
        return member

    async def _person(self, stored: StoredContext, index: int, wanted: Wanted, guild_id: int | None) -> UsableIdentity:
        """The best of the identities that fit; one that is shared with a server needs its owner there."""
        for one in stored.people[index]:
            if one.access != "server" or guild_id is None or await self._memberships.may_be_in(guild_id, one.owner_id):
                if one.is_locked:
                    raise UserError(_LOCKED)
                return one
        match wanted:
            case str():
                raise NotFoundError(_UNKNOWN, name=wanted)
            case int():
                raise NotFoundError(_GONE)
            case None if stored.preferences.identity_id is not None:
                raise NotFoundError(_DEFAULT_GONE)
            case None:
                raise NotFoundError(
                    "You have no identity yet. Add one first: /identity add with a name and some photos."
                )


_UNKNOWN: Final = "You have no identity called “{name}”. Use /identity list to see yours, or /identity add to make one."
_GONE: Final = "This person cannot be drawn here any more: they were deleted, or are not shared with you."
_LOCKED: Final = (
    "This person cannot be drawn: somebody whom the photos show has asked that nobody else adds them. If that is a "
    "mistake, tell the bot's operator."
)
_DEFAULT_GONE: Final = (
    "Your default person cannot be drawn here any more: it was deleted, or is not shared with you. "
    "Name somebody, or choose another with /identity default."
)
