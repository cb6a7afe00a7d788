"""What becomes of an accepted job: progress, restarts, late replies, failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.app import PhotoMakerBot
from bot.services import job_messages as replies
from bot.services import open_jobs
from photomaker_core.errors import ModelError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import Generation
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import ImageJob, Publish, Runner
from tests.support.gpu_faults import SlowLoad
from tests.support.server import Server, rows, settings, upload


async def accepted(server: Server, **options: object) -> object:
    """Start a drawing and return its interaction while it runs."""
    return await server.ada.slash(server.channel, "imagine", **{"prompt": "a man img", "seed": 4, **options})


async def test_a_job_that_a_restart_interrupted_is_drawn_afterwards(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    results = [await accepted(server, steps=100), await accepted(server, seed=5)]
    assert all(result.response.attachments == [] for result in results)  # type: ignore[attr-defined]
    hold.set()
    load = SlowLoad(tiny_model)
    await server.restart(PhotoMakerBot(settings(tmp_path), load=load))
    assert set(rows(tmp_path, "SELECT state FROM jobs")) <= {("queued",), ("running",)}
    load.may_load.set()
    await server.quiet()
    for result in results:
        assert len(result.response.attachments) == 1  # type: ignore[attr-defined]
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("delivered",), ("delivered",)]


async def test_the_reply_shows_place_and_progress(
    server: Server, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_jobs, "EDIT_INTERVAL_S", 0.0)
    await server.add(server.ada, "newton")
    running = await accepted(server, steps=8)
    waiting = await accepted(server)
    assert "1 job before yours" in waiting.response.content  # type: ignore[attr-defined]
    hold.set()
    await server.quiet()
    edits = [str(entry) for entry in server.env.http_requests if entry.method == "PATCH" and "▰" in str(entry.json)]
    assert any("▱" in edit for edit in edits)
    assert any("preview-1.jpg" in edit for edit in edits)
    assert len(running.response.attachments) == 1  # type: ignore[attr-defined]


async def test_edits_keep_their_distance(server: Server) -> None:
    await server.add(server.ada, "newton")
    before = len(server.env.http_requests)
    await server.command(server.ada, "imagine", prompt="a man img", steps=60)
    calls = [entry for entry in server.env.http_requests[before:] if entry.method == "PATCH"]
    assert len(calls) <= 4


async def test_after_the_tokens_life_the_picture_comes_as_a_message(
    server: Server, tmp_path: Path, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.add(server.ada, "newton")
    result = await accepted(server)
    monkeypatch.setattr(replies, "TOKEN_LIFETIME", timedelta(0))
    hold.set()
    await server.quiet()
    assert result.response.attachments == []  # type: ignore[attr-defined]
    posted = server.channel.history()[-1]
    assert posted.content.startswith(f"<@{server.ada.id}> “a man img”")
    assert len(posted.attachments) == 1


async def test_a_late_picture_for_a_channel_that_is_closed_comes_as_a_direct_message(
    server: Server, tmp_path: Path, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.add(server.ada, "newton")
    await accepted(server)
    monkeypatch.setattr(replies, "TOKEN_LIFETIME", timedelta(0))
    server.env.inject_error("POST", f"/channels/{server.channel.id}/messages", status=403, code=50001)
    hold.set()
    await server.quiet()
    ((message,),) = rows(tmp_path, "SELECT message_id FROM jobs")
    assert message not in [one.id for one in server.channel.history()]
    posts = [one.path for one in server.env.http_requests if one.method == "POST" and one.path.endswith("/messages")]
    assert len(posts) == 2
    assert str(server.channel.id) not in posts[-1]


async def test_a_job_older_than_its_token_survives_a_restart(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    await accepted(server, steps=100)
    rows(tmp_path, "UPDATE jobs SET created_at = ?", str(datetime.now(UTC) - timedelta(hours=3)))
    hold.set()
    load = SlowLoad(tiny_model)
    await server.restart(PhotoMakerBot(settings(tmp_path), load=load))
    load.may_load.set()
    await server.quiet()
    assert len(server.channel.history()[-1].attachments) == 1


async def test_a_failing_step_is_answered_with_a_reference(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await server.add(server.ada, "newton")

    def broken(_engine: StepEngine, _generations: list[Generation]) -> None:
        raise RuntimeError("cosmic ray")

    with monkeypatch.context() as patch:
        patch.setattr(StepEngine, "step", broken)
        reply = await server.command(server.ada, "imagine", prompt="a man img")
    assert "Sorry, something went wrong on my side" in reply.content
    reference = reply.content.rpartition(": `")[2].strip("`")
    assert reference in caplog.text
    assert "cosmic ray" in caplog.text
    assert "cosmic ray" not in reply.content
    assert len((await server.command(server.ada, "imagine", prompt="a man img")).attachments) == 1
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("failed",), ("delivered",)]


async def test_commands_wait_for_a_model_that_is_still_loading(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    await server.add(server.ada, "newton")
    load = SlowLoad(tiny_model)
    await server.restart(PhotoMakerBot(settings(tmp_path), load=load))
    drawing = asyncio.create_task(server.command(server.ada, "imagine", prompt="a man img"))
    await asyncio.sleep(0.3)
    assert not drawing.done()
    load.may_load.set()
    assert len((await drawing).attachments) == 1
    assert rows(tmp_path, "SELECT count(*) FROM results") == [(1,)]


async def test_a_model_that_does_not_load_is_told_to_the_operator_and_the_member(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await server.add(server.ada, "newton")

    def fail() -> PhotoMaker:
        raise ModelError("There is no PhotoMaker adapter at /nowhere.")

    await server.restart(PhotoMakerBot(settings(tmp_path), load=fail))
    reply = await server.command(server.ada, "imagine", prompt="a man img")
    assert reply.attachments == []
    assert "no PhotoMaker adapter at /nowhere" in caplog.text
    assert "no PhotoMaker adapter at /nowhere" in reply.content


async def test_a_reply_that_was_deleted_does_not_harm_the_job(
    server: Server, tmp_path: Path, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    result = await accepted(server)
    await result.response.message.delete()  # type: ignore[attr-defined]
    hold.set()
    await server.quiet()
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("delivered",)]
    assert len((await server.command(server.ada, "imagine", prompt="a man img")).attachments) == 1


@pytest.mark.parametrize("keep", [True, False])
async def test_results_are_recorded_and_pictures_only_where_wanted(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, keep: bool
) -> None:
    await server.restart(PhotoMakerBot(settings(tmp_path, keep_pictures=keep), load=lambda: tiny_model))
    await server.add(server.ada, "newton", upload(3))
    reply = await server.command(server.ada, "imagine", prompt="a man img", seed=40, count=2)
    stored = rows(tmp_path, "SELECT seed, picture FROM results ORDER BY position")
    assert [seed for seed, _ in stored] == [40, 41]
    sent = [await file.read() for file in reply.attachments]
    assert [picture for _, picture in stored] == (sent if keep else [None, None])


async def test_a_full_disk_is_told_and_loses_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_full: Callable[[Server], object]
) -> None:
    await server.add(server.ada, "newton")
    await make_full(server)  # type: ignore[misc]
    reply = await server.add(server.ada, "lenna", *[upload(seed) for seed in range(4)])
    assert "disk is full, so nothing was stored" in reply.content
    assert "newton" in (await server.command(server.ada, "identity list")).content


@pytest.fixture
def make_full() -> Callable[[Server], object]:
    from sqlalchemy import text

    async def fill(server: Server) -> None:
        async with server.bot.database.transaction() as session:
            pages = (await session.execute(text("PRAGMA page_count"))).scalar_one()
            await session.execute(text(f"PRAGMA max_page_count={pages}"))

    return fill


async def test_a_role_can_have_another_share_of_the_gpu(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    guild = server.env.guild
    patrons = guild.create_role("patrons")
    cleo = guild.add_member(server.env.create_user("cleo"), roles=[patrons])
    await server.restart(PhotoMakerBot(settings(tmp_path, role_weights={patrons.id: 3}), load=lambda: tiny_model))
    weights: dict[int, float] = {}
    submit = Runner.submit

    def noted(runner: Runner, drawing: ImageJob, publish: Publish) -> None:
        weights[drawing.member] = drawing.weight
        submit(runner, drawing, publish)

    monkeypatch.setattr(Runner, "submit", noted)
    for member in (server.ada, cleo):
        await server.add(member, "newton")
        await server.command(member, "imagine", prompt="a man img")
    assert weights == {server.ada.id: 1, cleo.id: 3}


@pytest.fixture
async def one_at_a_time(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are drawn one after the other, and who waits is told at once how the queue moves."""
    monkeypatch.setattr(open_jobs, "PLACE_INTERVAL_S", 0.0)
    await server.restart(PhotoMakerBot(settings(tmp_path, max_batch=1), load=lambda: tiny_model))
    await server.add(server.ada, "newton")


@pytest.mark.usefixtures("one_at_a_time")
async def test_those_who_wait_are_told_how_the_queue_moves(server: Server, hold: threading.Event) -> None:
    for work in ({}, {"steps": 50, "count": 4}, {}):
        last = await accepted(server, **work)
    assert "2 jobs before yours" in last.response.content  # type: ignore[attr-defined]
    before = len(server.env.http_requests)
    hold.set()
    await server.quiet()
    told = [str(one.json) for one in server.env.http_requests[before:] if one.method == "PATCH"]
    assert any("1 job before yours" in one for one in told)
    assert len(last.response.attachments) == 1  # type: ignore[attr-defined]


@pytest.mark.usefixtures("one_at_a_time")
async def test_what_ends_a_waiting_job_is_the_last_word(server: Server, hold: threading.Event) -> None:
    results = [await accepted(server, steps=100) for _ in range(5)]
    ending = asyncio.create_task(server.bot.jobs.cancel_all_of(server.ada.id))
    await asyncio.sleep(0)
    hold.set()
    await ending
    await server.quiet()
    assert {result.response.content for result in results} == {"Cancelled."}  # type: ignore[attr-defined]
