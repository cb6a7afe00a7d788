"""The photos that a member may hand in within an hour. Called where photos are taken, before they are downloaded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from bot.services.admission import stricter
from storage import LimitReachedError, ServerStore

_HOUR_S: Final = 3600.0
_MOST_REMEMBERED: Final = 50_000


class UploadAllowance:
    """Counts uploads by member, on all servers together; a server can only narrow the bot's own limit.

    It counts in memory: what it guards is the decoders' time, and a restart takes nothing of that away.
    """

    def __init__(
        self, servers: ServerStore, most_an_hour: int | None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._servers, self._most, self._now_s = servers, most_an_hour, now_s
        self._times_s: dict[int, deque[float]] = {}

    async def take(self, user_id: int, guild_id: int | None, photos: int) -> None:
        """Count photos that a member hands in now, all of them or none; raises :class:`LimitReachedError`."""
        most = self._most
        if guild_id is not None:
            most = stricter(most, (await self._servers.rules(guild_id)).uploads_an_hour)
        self._count(user_id, photos, most)

    def _count(self, user_id: int, photos: int, most: int | None) -> None:
        """Nothing is awaited here, so that of several at once not all pass."""
        now_s = self._now_s()
        recent = deque(time_s for time_s in self._times_s.pop(user_id, ()) if now_s - time_s < _HOUR_S)
        if recent or photos:
            self._times_s[user_id] = recent
        if most is not None and len(recent) + photos > most:
            raise LimitReachedError(
                "Photos of yours within an hour: {number}; {most} are the most. Please come back later.",
                number=len(recent),
                most=most,
            )
        recent.extend([now_s] * photos)
        if len(self._times_s) > _MOST_REMEMBERED:
            del self._times_s[next(iter(self._times_s))]
