"""Tests of ``/queue``, ``/history``, ``/settings`` and ``/style``."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import simcord

from bot.app import PhotoMakerBot
from bot.views.history_page import HistoryPage
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.presets.styles import STYLES
from photomaker_core.sampling.generation import Generation
from photomaker_core.sampling.step_engine import StepEngine
from storage import OpenJobStore
from tests.support.server import Server, click, drawn, rows, settings


async def test_quality_sets_the_steps_and_preferences_are_taken(server: Server) -> None:
    await server.add(server.ada, "newton")
    fast = await server.command(server.ada, "imagine", prompt="a man img", quality="fast", seed=1)
    assert "quality: fast" in fast.content
    normal = await server.command(server.ada, "imagine", prompt="a man img", seed=1)
    assert await fast.attachments[0].read() != await normal.attachments[0].read()
    told = await server.command(server.ada, "settings", quality="best", style="Cinematic", aspect="5:6 portrait")
    assert "Quality: best" in told.content
    best = await server.command(server.ada, "imagine", prompt="a man img")
    assert "5 steps" in best.content
    assert "Cinematic" in best.content
    assert "Style: None" in (await server.command(server.ada, "settings", reset=True)).content
    assert "Cinematic" not in (await server.command(server.ada, "imagine", prompt="a man img")).content


async def imagine(server: Server, prompt: str = "a man img") -> simcord.ResponseMessage:
    return await server.command(server.ada, "imagine", prompt=prompt)


async def test_expected_time_is_told_once_it_was_measured(server: Server) -> None:
    await server.add(server.ada, "newton")
    await server.command(server.ada, "imagine", prompt="a man img", steps=30)
    waiting = asyncio.create_task(server.ada.slash(server.channel, "imagine", prompt="a man img", steps=30))
    await waiting
    await server.quiet()
    assert server.bot.jobs.throughput.expected_s(30) is not None


async def test_history_is_paged_with_thumbnails(server: Server) -> None:
    empty = await server.ada.slash(server.channel, "history")
    assert empty.response is not None
    await server.add(server.ada, "newton")
    for seed in range(6):
        await server.command(server.ada, "imagine", prompt=f"a man img number {seed}", seed=seed)
    shown = await server.ada.slash(server.channel, "history")
    assert shown.response is not None
    assert len(shown.response.attachments) == 4
    text = str(shown.response.components)
    assert "number 5" in text
    assert "number 1" not in text
    await server.ada.click(shown.response, label="Older")
    text = str(shown.response.components)
    assert "number 1" in text
    assert "number 5" not in text
    await click(server, server.ada, shown.response, "Newer")
    other = await server.bob.slash(server.channel, "history")
    assert other.response is not None
    assert "no pictures yet" in str(other.response.components)


async def style_pictures(server: Server, member: simcord.MemberActor) -> list[bytes]:
    """The pictures that ``/style`` showed a member last, message by message."""
    shown = [one for one in server.channel.history(viewer=member) if one.attachments][-2:]
    assert all(len(one.attachments) <= 10 for one in shown), "Discord takes no more files with a message"
    return [await file.read() for one in shown for file in one.attachments]


async def test_styles_are_listed(server: Server) -> None:
    shown = await server.command(server.ada, "style")
    told = str(shown.components)
    assert "**Cinematic**" in told
    assert "None is loaded here" in told
    pictures = await style_pictures(server, server.ada)
    assert len(set(pictures)) == len(STYLES), "each style has a picture of its own"
    await server.command(server.bob, "style")
    assert await style_pictures(server, server.bob) == pictures, "they are drawn once"


async def test_styles_are_listed_while_their_pictures_are_drawn(server: Server) -> None:
    before = len(server.env.http_requests)
    shown = await server.command(server.ada, "style")
    first, *_ = (str(one.json) for one in server.env.http_requests[before:] if one.method == "PATCH")
    assert "Cinematic, Disney character" in first
    assert "being drawn" in first
    assert "being drawn" not in str(shown.components)
    assert len(await style_pictures(server, server.ada)) == len(STYLES)


async def test_a_failure_of_the_styles_is_told_in_their_place(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_engine: StepEngine, _generations: list[Generation]) -> None:
        raise RuntimeError("cosmic ray")

    with monkeypatch.context() as patch:
        patch.setattr(StepEngine, "step", broken)
        shown = await server.command(server.ada, "style")
    told = str(shown.components)
    assert "Sorry, something went wrong on my side" in told
    assert "Cinematic" in told
    assert "cosmic ray" in caplog.text
    edits = [one.json for one in server.env.http_requests if one.method == "PATCH" and one.json]
    assert not any(one.get("content") and one.get("components") for one in edits)
    again = await server.command(server.ada, "style")
    assert "Sorry" not in str(again.components)


async def test_a_deleted_picture_is_not_in_the_history_any_more(server: Server, tmp_path: Path) -> None:
    first, second = await drawn(server), await imagine(server, "a man img at sea")
    await click(server, server.ada, first, "Delete")
    assert rows(tmp_path, "SELECT job_id FROM results WHERE thumbnail IS NOT NULL") == [(2,)]
    shown = await server.command(server.ada, "history")
    assert "at sea" in str(shown.components)
    assert len(shown.attachments) == 1
    await click(server, server.ada, second, "Delete")
    assert "no pictures yet" in str((await server.command(server.ada, "history")).components)


async def test_a_request_that_cannot_be_read_is_one_sentence_of_the_history(server: Server, tmp_path: Path) -> None:
    await drawn(server)
    await imagine(server, "a man img at sea")
    rows(tmp_path, "UPDATE jobs SET request = '{\"version\": 99}' WHERE id = 1")
    told = str((await server.command(server.ada, "history")).components)
    assert "at sea" in told
    assert "I cannot read this request any more" in told


async def test_two_thousand_jobs_do_not_keep_the_bot_from_answering(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    await drawn(server)
    await server.bot.close()
    many = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000) "
    columns = "user_id, channel_id, message_id, request, created_at"
    for state in ("state", "'queued'"):
        rows(
            tmp_path,
            f"{many} INSERT INTO jobs ({columns}, state) SELECT {columns}, {state} FROM jobs, numbers WHERE id = 1",
        )
    rows(
        tmp_path,
        "INSERT INTO results (job_id, position, seed, settings, thumbnail, created_at) "
        "SELECT jobs.id, 0, seed, results.settings, thumbnail, results.created_at FROM jobs, results "
        "WHERE jobs.state <> 'queued' AND jobs.id > 1 AND results.job_id = 1",
    )
    may_load = threading.Event()

    def load() -> PhotoMaker:
        may_load.wait(60)
        return tiny_model

    bot = PhotoMakerBot(settings(tmp_path), load=load)
    await server.env.restart_bot(bot)
    server.bot = bot
    try:
        page = await OpenJobStore(bot.database).page(server.ada.id, 10)
        assert (page.open_jobs, page.own_jobs) == (2000, 2000)
        assert [one.jobs_before for one in page.first] == list(range(10))
        told = await server.ada.slash(server.channel, "queue")
        assert told.response is not None
        assert "2000 jobs are open" in told.response.content
        assert "… and 1990 more" in told.response.content
        assert await longest_pause_s(lambda: OpenJobStore(bot.database).page(server.ada.id, 10)) < 0.05
        assert await longest_pause_s(lambda: asyncio.sleep(0, bot.jobs.open_of(server.ada.id))) < 0.05
        for number in (0, 400):
            shown = await HistoryPage.read(bot.job_store, server.ada.id, number)
            assert len(shown.files) == 4
            turn = partial(HistoryPage.read, bot.job_store, server.ada.id, number)
            assert await longest_pause_s(turn) < 0.05
    finally:
        rows(tmp_path, "DELETE FROM jobs WHERE state = 'queued'")
        may_load.set()


async def longest_pause_s(work: Callable[[], Awaitable[object]]) -> float:
    """The longest time for which some work lets the event loop do nothing else; the best of three tries."""
    return min([max(await pauses_s(work)) for _ in range(3)])


async def pauses_s(work: Callable[[], Awaitable[object]]) -> list[float]:
    found, last = [0.0], time.perf_counter()

    async def tick() -> None:
        nonlocal last
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            found.append(now - last)
            last = now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await work()
    await asyncio.sleep(0)
    ticking.cancel()
    return found
