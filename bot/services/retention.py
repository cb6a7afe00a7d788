"""Erases, while the bot runs, what was kept as long as the operator allows. Started and ended by the bot."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from storage import RetentionPeriods, RetentionStore

log = logging.getLogger(__name__)

INTERVAL_S: Final = 3600.0


class RetentionService:
    """Looks for what has expired at the start and every hour; :meth:`close` ends it, also amid its work."""

    def __init__(self, store: RetentionStore, periods: RetentionPeriods) -> None:
        self.periods = periods
        self._store = store
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if not self.periods.are_endless:
            self._task = asyncio.create_task(self._run(), name="retention")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                expired = await self._store.erase_expired(self.periods)
            except Exception:
                log.exception("what has expired could not be erased; trying again in an hour")
            else:
                if not expired.is_nothing:
                    log.info(
                        "expired: prompts of %d jobs, thumbnails of %d, pictures of %d, and %d jobs whole",
                        expired.prompts,
                        expired.thumbnails,
                        expired.pictures,
                        expired.jobs,
                    )
            await asyncio.sleep(INTERVAL_S)
