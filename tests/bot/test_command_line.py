"""Tests of the command ``photomaker-bot``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import discord
import pytest
from aiohttp import web

from bot import cli as bot_cli
from tests.support.tiny_model import TINY_ADAPTER, TINY_BASE


def test_run_without_a_token_says_where_to_get_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bot_cli.main(["run"]) == 2
    assert "There is no Discord token. Set DISCORD_TOKEN" in capsys.readouterr().err


def test_compile_without_a_place_for_it_says_how_to_name_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bot_cli.main(["compile"]) == 2
    assert "PHOTOMAKER_COMPILED=" in capsys.readouterr().err


def test_the_configuration_names_every_wrong_variable(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text("DEFAULT_STEPS=many\nMAX_BATCH=0\n")
    monkeypatch.setenv("LOG_LEVEL", "CHATTY")
    assert bot_cli.main(["run"]) == 2
    printed = capsys.readouterr().err
    assert all(name in printed for name in ("DEFAULT_STEPS", "MAX_BATCH", "LOG_LEVEL", ".env.example"))
    assert "Traceback" not in printed


@pytest.fixture
def refusing_discord(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A local server in Discord's place that accepts no token; yields the paths it was asked for."""
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)

    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    monkeypatch.setattr(discord.http.Route, "BASE", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield asked
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(runner.cleanup())
    loop.close()


def test_run_with_a_token_that_discord_refuses(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, refusing_discord: list[str]
) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "not.a.token")
    assert bot_cli.main(["run"]) == 2
    assert refusing_discord == ["/users/@me"]
    assert "Discord does not accept this token" in (printed := capsys.readouterr().err)
    assert "not.a.token" not in printed


def test_doctor_finds_everything_that_is_wrong_at_once(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, refusing_discord: list[str]
) -> None:
    Path("file").write_text("in the way")
    monkeypatch.setenv("DISCORD_TOKEN", "not.a.token")
    monkeypatch.setenv("DATABASE_URL", "sqlite+aiosqlite:///file/bot.db")
    monkeypatch.setenv("PHOTOMAKER_BASE", str(TINY_BASE))
    monkeypatch.setenv("PHOTOMAKER_ADAPTER", "nowhere.bin")
    assert bot_cli.main(["doctor"]) == 1
    findings = {line.split(":")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "copy it anew" in findings["✗ token"]
    assert "file" in findings["✗ database"]
    assert "nowhere.bin" in findings["✗ model"]


def test_doctor_without_a_token_accepts_the_rest(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOMAKER_BASE", str(TINY_BASE))
    monkeypatch.setenv("PHOTOMAKER_ADAPTER", str(TINY_ADAPTER))
    assert bot_cli.main(["doctor"]) == 1
    findings = capsys.readouterr().out
    assert "✗ token: DISCORD_TOKEN is not set" in findings
    assert "✓ database: sqlite+aiosqlite:///data/photomaker-bot.db" in findings
    assert "✓ model: PhotoMaker V1 on tiny-sdxl, 128 x 128 pixels" in findings
