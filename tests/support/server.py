"""A simulated Discord server with the real bot in it, for tests that act as members."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import simcord
from discord import app_commands

from bot.app import PhotoMakerBot
from bot.config import Settings, load_settings
from bot.services import job_messages
from photomaker_core.errors import UserError
from storage import StorageError
from tests.support import uploads

MINE = "I am this person"
FICTION = "Fictional person or work of art"
_EXPECTED = (UserError, StorageError, app_commands.CheckFailure)

Upload = tuple[str, bytes]


@dataclass
class Server:
    """The server, its members ``ada`` and ``bob``, and the bot of the moment."""

    env: simcord.Env
    bot: PhotoMakerBot
    channel: simcord.ChannelHandle
    ada: simcord.MemberActor
    bob: simcord.MemberActor
    locales: dict[int, str] = field(default_factory=dict)
    """The Discord locale of members whose is not ``en-US``, by their id."""

    async def command(self, member: simcord.MemberActor, command: str, /, **options: Any) -> simcord.ResponseMessage:
        """Use a slash command and wait until everything it caused has happened."""
        result = await member.slash(self.channel, command, **options)
        await self.quiet()
        assert result.response is not None, "the application did not respond"
        return result.response

    async def add(
        self, member: simcord.MemberActor, name: str, *photos: Upload, consent: str = FICTION
    ) -> simcord.ResponseMessage:
        options = {f"photo{number}": photo for number, photo in enumerate(photos or (upload(),), start=1)}
        return await self.command(member, "identity add", name=name, consent=consent, **options)

    async def quiet(self) -> None:
        """Wait until every job is delivered and the bot rests; the model must be loaded or loading."""
        await self.bot.resumed.wait()
        await self.env.settle()
        while self.bot.jobs.open_count or self.bot.jobs._delivery._tasks:  # noqa: ASYNC110 - the bot has no reason to announce this
            await asyncio.sleep(0.02)
        await self.env.settle()

    async def restart(self, bot: PhotoMakerBot) -> None:
        """Stop the bot as a service manager would, in the middle of whatever it does, and start another."""
        await self.bot.close()
        await self.env.restart_bot(bot)
        self.bot = bot

    async def stop(self, hold: threading.Event) -> None:
        """Stop the bot in the middle of a step that ``hold`` holds, which goes on once the bot has begun to stop."""
        closing = asyncio.create_task(self.bot.close())
        await asyncio.sleep(0)
        hold.set()
        await closing

    def unexpected_errors(self) -> list[BaseException]:
        """What went wrong in the bot, other than what a member can cause."""
        causes = [
            error.__cause__ if isinstance(error, app_commands.CommandInvokeError) and error.__cause__ else error
            for error in self.env.errors
        ]
        return [error for error in causes if not isinstance(error, _EXPECTED)]


def upload(seed: int = 0, name: str = "photo.jpg") -> Upload:
    return name, uploads.photo(seed)


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings for quick small pictures, apart from every real environment."""
    quick = {"default_steps": 3, "database_url": f"sqlite+aiosqlite:///{folder / 'bot.db'}"}
    return load_settings(None, **quick | changes)


async def drawn(server: Server, **options: object) -> simcord.ResponseMessage:
    await server.add(server.ada, "newton")
    return await server.command(
        server.ada, "imagine", **{"prompt": "a man img", "seed": 4, "negative": "rain", **options}
    )


async def click(server: Server, member: simcord.MemberActor, message: object, label: str) -> simcord.InteractionResult:
    result = await member.click(message, label=label)  # type: ignore[arg-type]
    await server.quiet()
    return result


async def submit(server: Server, shown: simcord.InteractionResult, values: dict[str, object]) -> str:
    """Fill in a form as ada; returns the answer."""
    result = await server.ada.submit_modal(shown, values)
    await server.quiet()
    return says(result)


async def drawn_into_dm(server: Server, hold: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ada's picture that ``hold`` holds come as a direct message: its channel takes no message any more."""
    with monkeypatch.context() as patch:
        patch.setattr(job_messages, "TOKEN_LIFETIME", timedelta(0))
        server.env.inject_error("POST", f"/channels/{server.channel.id}/messages", status=403, code=50001)
        hold.set()
        await server.quiet()


def says(result: simcord.InteractionResult) -> str:
    assert result.response is not None
    assert result.response.ephemeral
    return result.response.content


def rows(folder: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / "bot.db")
    try:
        with connection:
            return connection.execute(query, values).fetchall()
    finally:
        connection.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a row or a message that nothing announces."""
    while not condition():  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.02)
