"""The real bot on the doubled Discord, in the test's own process: started, stopped, restarted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bot.app import PhotoMakerBot
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.discord_double import TOKEN, DiscordDouble, Interaction, User
from tests.support.server import rows, settings, until

NOT_AT_REST = "SELECT 1 FROM jobs WHERE state IN ('queued', 'running', 'drawn') OR awaits_delivery"


class DoubledBot:
    """Runs one bot after another. ``folder`` holds their database."""

    def __init__(self, double: DiscordDouble, folder: Path, model: PhotoMaker) -> None:
        self.double, self.folder, self._model = double, folder, model
        self.bot: PhotoMakerBot
        self._running: asyncio.Task[None] | None = None

    async def start(self, **changes: Any) -> None:
        self.bot = PhotoMakerBot(settings(self.folder, **changes), load=lambda: self._model)
        self._running = asyncio.create_task(self.bot.start(TOKEN))
        ready = asyncio.create_task(self.double.gateway.is_ready.wait())
        await asyncio.wait([self._running, ready], return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            ready.cancel()
            self._running.result()

    async def stop(self) -> None:
        """Stop the bot as a service manager would, in the middle of whatever it does."""
        if self._running is not None:
            await self.bot.close()
            await asyncio.wait([self._running])
            self._running = None

    async def restart(self, **changes: Any) -> None:
        await self.stop()
        await self.start(**changes)

    async def imagine(self, user: User, **options: Any) -> Interaction:
        return await self.double.slash(user, "imagine", **{"prompt": "a man img", **options})

    async def quiet(self, jobs: int) -> None:
        """Wait until so many jobs have been accepted, and all of their members know how they ended."""
        await until(lambda: rows(self.folder, "SELECT count(*) FROM jobs") == [(jobs,)] and not self.rows(NOT_AT_REST))

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        return rows(self.folder, query, *values)
