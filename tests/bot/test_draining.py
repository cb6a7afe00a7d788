"""Stopping with jobs under way: those that are drawn may end, the others are kept, and all members are told."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from bot.app import PhotoMakerBot
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.faults import Faults, answer
from tests.support.server import Server, rows, settings, until

WAITING = "Your picture is kept"


async def one_drawn_one_waiting(server: Server, folder: Path, model: PhotoMaker, grace_s: int) -> None:
    await server.restart(PhotoMakerBot(settings(folder, max_batch=1, stop_grace_seconds=grace_s), load=lambda: model))
    await server.add(server.ada, "newton")
    for _ in range(2):
        await server.ada.slash(server.channel, "imagine", prompt="a man img")
    await until(lambda: rows(folder, "SELECT 1 FROM jobs WHERE state = 'running'"))


def shown(server: Server) -> list[str]:
    told = [message.content for message in server.channel.history()]
    return [content for content in told if "Added" not in content and "I am stopping" not in content]


async def test_what_is_drawn_ends_and_what_waits_is_drawn_after_the_next_start(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await one_drawn_one_waiting(server, tmp_path, tiny_model, 60)
    draining = asyncio.create_task(server.bot.drain())
    refused = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    assert refused.response is not None
    assert "I am stopping right now" in refused.response.content
    assert not draining.done()
    hold.set()
    await draining
    await server.bot.close()
    assert rows(tmp_path, "SELECT state, attempts FROM jobs ORDER BY id") == [("delivered", 1), ("queued", 0)]
    assert WAITING not in shown(server)[0]
    assert WAITING in shown(server)[1]
    again = PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model)
    await server.env.restart_bot(again)
    server.bot = again
    await server.quiet()
    assert rows(tmp_path, "SELECT state, attempts FROM jobs ORDER BY id") == [("delivered", 1), ("delivered", 1)]


async def test_what_is_not_ready_in_time_goes_back_to_waiting_with_word(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await one_drawn_one_waiting(server, tmp_path, tiny_model, 1)
    await server.bot.drain()
    closing = asyncio.create_task(server.bot.close())
    await until(lambda: all(WAITING in content for content in shown(server)))
    hold.set()
    await closing
    assert rows(tmp_path, "SELECT state, attempts FROM jobs ORDER BY id") == [("queued", 0), ("queued", 0)]


async def test_a_job_that_is_cancelled_while_the_bot_drains_is_not_drawn(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await one_drawn_one_waiting(server, tmp_path, tiny_model, 60)
    draining = asyncio.create_task(server.bot.drain())
    await server.ada.slash(server.channel, "queue")
    assert server.bot.jobs.cancel(2)
    assert server.bot.jobs.cancel(1)
    hold.set()
    await draining
    await server.bot.close()
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("cancelled",), ("cancelled",)]


async def test_discord_that_does_not_answer_keeps_no_bot_from_stopping(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_drawn_one_waiting(server, tmp_path, tiny_model, 0)
    faults = Faults()
    faults.install(monkeypatch)
    faults.at("PATCH", "*", answer(500), saying=WAITING, times=100)
    await server.bot.drain()
    hold.set()
    await asyncio.wait_for(server.bot.close(), 60)
    assert rows(tmp_path, "SELECT state, attempts FROM jobs ORDER BY id") == [("queued", 0), ("queued", 0)]
