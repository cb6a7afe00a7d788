"""Membership of servers, as far as a bot without the members intent can know: it asks Discord and remembers briefly.

Called where a drawing depends on somebody being in a server without having just acted there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import aiohttp
import discord

log = logging.getLogger(__name__)

REMEMBERED_S: Final = 60.0
_PATIENCE_S: Final = 5.0
_MOST_REMEMBERED: Final = 10_000


class MembershipUnknownError(Exception):
    """Discord does not answer, so nobody knows."""


class MembershipService:
    """Looks members up on demand."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client
        self._known: dict[tuple[int, int], tuple[float, discord.Member | None]] = {}

    async def find(self, guild_id: int, user_id: int) -> discord.Member | None:
        """A member of a server, or ``None`` for somebody who is not in it.

        ``None`` also for a server in which the bot is not: nobody can vouch for its members. The answer is at most a
        minute old. Raises :class:`MembershipUnknownError` while Discord does not answer.
        """
        key = guild_id, user_id
        asked_at_s, member = self._known.get(key, (float("-inf"), None))
        if time.monotonic() - asked_at_s < REMEMBERED_S:
            return member
        try:
            async with asyncio.timeout(_PATIENCE_S):
                member = await self._ask(guild_id, user_id)
        except (discord.NotFound, discord.Forbidden):
            member = None
        except (discord.HTTPException, aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("cannot ask whether user %d is in server %d", user_id, guild_id, exc_info=True)
            raise MembershipUnknownError from error
        self._known.pop(key, None)
        self._known[key] = time.monotonic(), member
        if len(self._known) > _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return member

    async def may_be_in(self, guild_id: int, user_id: int) -> bool:
        """Tell whether somebody is in a server; an outage of Discord takes nothing away from anybody."""
        try:
            return await self.find(guild_id, user_id) is not None
        except MembershipUnknownError:
            return True

    async def _ask(self, guild_id: int, user_id: int) -> discord.Member:
        guild = self._client.get_guild(guild_id) or await self._client.fetch_guild(guild_id, with_counts=False)
        return await guild.fetch_member(user_id)
