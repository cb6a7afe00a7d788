"""``photomaker-bot run`` connects as it does for operators, and says in a sentence why Discord does not take it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import cli
from bot.app import PhotoMakerBot
from bot.config import Settings
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.discord_double import TOKEN, DiscordDouble, answer, connecting_to


@pytest.fixture
def distant(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DiscordDouble]:
    """A double in a thread of its own, and the settings of an operator who uses it."""
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{here / 'bot.db'}")
    loop, double = asyncio.new_event_loop(), DiscordDouble()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(double.start(), loop).result()
    with connecting_to(double.api_url, double.gateway_url):
        yield double
    asyncio.run_coroutine_threadsafe(double.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def run(model: PhotoMaker) -> int:
    def make_bot(settings: Settings) -> PhotoMakerBot:
        return PhotoMakerBot(settings, load=lambda: model)

    return cli.main(["run"], make_bot=make_bot)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "says"),
    [
        ("GET", "/users/@me", 401, 0, "does not accept this token"),
        ("PUT", "/applications/*", 503, 0, "cannot be reached (503 Service Unavailable)"),
        ("PUT", "/applications/*", 403, 50001, "refuses what the bot asks for at its start (403 Forbidden a fault)"),
    ],
    ids=["token", "outage", "refused"],
)
def test_a_start_that_discord_refuses_is_one_sentence(
    distant: DiscordDouble,
    tiny_model: PhotoMaker,
    capfd: pytest.CaptureFixture[str],
    discord_waits: list[float],
    method: str,
    path: str,
    status: int,
    code: int,
    says: str,
) -> None:
    distant.faults.at(method, path, answer(status, code), times=5)
    assert run(tiny_model) == 2
    told = capfd.readouterr().err
    assert says in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("code", "says"), [(4004, "does not accept this token"), (4013, "the gateway closes with 4013")]
)
def test_a_gateway_that_closes_for_good_is_one_sentence(
    distant: DiscordDouble, tiny_model: PhotoMaker, capfd: pytest.CaptureFixture[str], code: int, says: str
) -> None:
    distant.gateway.closes_with = code
    assert run(tiny_model) == 2
    told = capfd.readouterr().err
    assert says in told
    assert "Traceback" not in told
