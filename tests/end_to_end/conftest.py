"""The real bot in a process of its own, on the doubled Discord."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.discord_double import DiscordDouble
from tests.support.killable_bot import KillableBot


@pytest.fixture
async def killable(tmp_path: Path) -> AsyncIterator[tuple[DiscordDouble, KillableBot]]:
    double = DiscordDouble()
    await double.start()
    bot = await KillableBot.prepare(tmp_path, double.api_url, double.gateway_url)
    yield double, bot
    await bot.end()
    await double.stop()
