"""What an earlier run left, and a GPU thread that hangs or dies: nothing is drawn that should not be, all are told."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bot.app import PhotoMakerBot
from bot.workers import gpu_thread
from bot.workers.watchdog import Watchdog
from photomaker_core.errors import ModelError, UserError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import Generation
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import ImageJob, Runner
from tests.support.gpu_faults import FaultySteps, SlowLoad
from tests.support.server import FICTION, Server, rows, says, settings, until, upload

LENNA = {"name": "lenna", "consent": FICTION, "photo1": upload(5)}


async def accepted(server: Server, count: int = 1, **options: object) -> list[Any]:
    """The replies to commands whose jobs wait or are drawn."""
    results = [
        await server.ada.slash(server.channel, "imagine", **{"prompt": "a man img", **options}) for _ in range(count)
    ]
    return [result.response for result in results]


async def answered(server: Server, command: str, **options: object) -> str:
    """What a command says while jobs are open."""
    result = await server.ada.slash(server.channel, command, **options)
    assert result.response is not None
    return result.response.content


async def started(server: Server, bot: PhotoMakerBot) -> None:
    await server.env.restart_bot(bot)
    server.bot = bot


async def started_and_loaded(server: Server, folder: Path, model: PhotoMaker) -> None:
    """Start a bot that has all the time to do so before it draws."""
    load = SlowLoad(model)
    await started(server, PhotoMakerBot(settings(folder), load=load))
    load.may_load.set()
    await server.quiet()


async def test_what_is_open_can_be_seen_and_cancelled_while_the_model_loads(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    first, second = await accepted(server, 2, steps=100)
    await server.stop(hold)
    assert rows(tmp_path, "SELECT state, attempts FROM jobs") == [("queued", 0), ("queued", 0)]
    load = SlowLoad(tiny_model)
    await started(server, PhotoMakerBot(settings(tmp_path), load=load))
    queue = says(await server.ada.slash(server.channel, "queue"))
    assert "2 jobs are open" in queue
    assert queue.count("- yours:") == 2
    await server.ada.click(first, label="Cancel")
    await until(lambda: first.content == "Cancelled.")
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("cancelled",), ("queued",)]
    load.may_load.set()
    await server.quiet()
    assert first.attachments == []
    assert len(second.attachments) == 1


async def test_a_row_that_cannot_be_read_fails_alone(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    server.locales[server.ada.id] = "de"
    jobs = await accepted(server, 7)
    await server.stop(hold)
    ((text,),) = rows(tmp_path, "SELECT request FROM jobs WHERE id = 1")
    good = json.loads(str(text))
    requests = [
        good | {"a field of tomorrow": 1},
        {name: value for name, value in good.items() if name != "version"} | {"change": 0.5, "enlarge": 1.5},
        good | {"version": 99},
        good | {"identities": "nobody"},
        {"language": "de"},
        good,
    ]
    for number, request in enumerate(requests, start=1):
        rows(tmp_path, "UPDATE jobs SET request = ? WHERE id = ?", json.dumps(request), number)
    rows(tmp_path, "UPDATE jobs SET request = 'no json at all' WHERE id = 7")
    await started_and_loaded(server, tmp_path, tiny_model)
    states = [state for (state,) in rows(tmp_path, "SELECT state FROM jobs ORDER BY id")]
    assert states == ["delivered", "delivered", "failed", "failed", "failed", "delivered", "failed"]
    assert [len(job.attachments) for job in jobs] == [1, 1, 0, 0, 0, 1, 0]
    assert all("Bitte frage noch einmal" in job.content for job in jobs[2:5])
    assert "Please ask again" in jobs[6].content


async def test_a_job_that_stops_the_process_is_tried_three_times(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    killing, good = await accepted(server, 2)
    await server.stop(hold)
    rows(tmp_path, "UPDATE jobs SET attempts = 3, state = 'running' WHERE id = 1")
    rows(tmp_path, "UPDATE jobs SET attempts = 2, state = 'running' WHERE id = 2")
    await started_and_loaded(server, tmp_path, tiny_model)
    assert rows(tmp_path, "SELECT state, attempts FROM jobs ORDER BY id") == [("failed", 3), ("delivered", 3)]
    assert "three times" in killing.content
    assert len(good.attachments) == 1


async def test_jobs_that_were_begun_before_are_drawn_after_the_others_and_alone(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.add(server.ada, "newton")
    await accepted(server, 5, steps=5)
    await server.stop(hold)
    for job_id, attempts in ((1, 2), (2, 1), (3, 1)):
        rows(tmp_path, "UPDATE jobs SET attempts = ?, state = 'running' WHERE id = ?", attempts, job_id)
    together: list[set[int]] = []
    submit = Runner.submit

    def noted(runner: Runner, drawing: ImageJob, publish: Any) -> None:
        submit(runner, drawing, publish)
        together.append(set(runner._jobs))

    monkeypatch.setattr(Runner, "submit", noted)
    await started_and_loaded(server, tmp_path, tiny_model)
    suspects = [jobs & {1, 2, 3} for jobs in together]
    assert [jobs for jobs in suspects if jobs] == [{2}, {3}, {1}]
    assert rows(tmp_path, "SELECT count(*) FROM jobs WHERE state = 'delivered'") == [(5,)]


async def test_a_model_that_does_not_load_leaves_nobody_waiting(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    (job,) = await accepted(server)
    await server.stop(hold)

    def fail() -> PhotoMaker:
        raise ModelError("There is no PhotoMaker adapter at /nowhere.")

    await started(server, PhotoMakerBot(settings(tmp_path), load=fail))
    await server.quiet()
    assert "no PhotoMaker adapter" in job.content


@pytest.mark.parametrize("taken", ["unshare", "delete", "forget"])
async def test_who_may_be_drawn_is_asked_again_when_drawing_begins(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event, taken: str
) -> None:
    await server.restart(PhotoMakerBot(settings(tmp_path, max_batch=1), load=lambda: tiny_model))
    await server.add(server.ada, "newton")
    await server.add(server.bob, "lenna")
    await server.ada.slash(server.channel, "identity share", name="newton", member=server.bob.user)
    await server.bob.slash(server.channel, "imagine", prompt="a woman img", identity="lenna")
    waiting = (await server.bob.slash(server.channel, "imagine", prompt="a man img", identity="newton")).response
    assert waiting is not None
    if taken == "unshare":
        await server.ada.slash(server.channel, "identity unshare", name="newton", member=server.bob.user)
    elif taken == "delete":
        await server.ada.slash(server.channel, "identity delete", name="newton")
    else:
        shown = await server.ada.slash(server.channel, "privacy delete")
        assert shown.response is not None
        await server.ada.click(shown.response, label="Delete everything")
    hold.set()
    await server.quiet()
    assert waiting.attachments == []
    assert "cannot be drawn here any more" in waiting.content
    assert rows(tmp_path, "SELECT state, attempts FROM jobs ORDER BY id") == [("delivered", 1), ("failed", 0)]


async def test_a_picture_that_the_model_could_not_draw_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.add(server.ada, "newton")

    def broken(_engine: StepEngine, _generations: list[Generation]) -> None:
        raise UserError("The picture came out empty. Please try another seed.")

    monkeypatch.setattr(StepEngine, "step", broken)
    (job,) = await accepted(server)
    await server.quiet()
    assert job.content == "The picture came out empty. Please try another seed."
    assert rows(tmp_path, "SELECT state FROM jobs") == [("failed",)]


@pytest.fixture
async def watched(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, faulty_steps: FaultySteps, monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A bot that notices a hanging step soon and does not wait long for it when it stops."""
    monkeypatch.setattr(gpu_thread, "STOP_PATIENCE_S", 0.2)
    bot = PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model)
    bot.gpu._watchdog = Watchdog(least_s=2.0, factor=0.5, first_s=10, check_every_s=0.05)
    await server.restart(bot)
    await server.add(server.ada, "newton")
    await server.command(server.ada, "imagine", prompt="a man img")
    return server


async def test_a_hanging_step_is_told_refuses_new_jobs_and_holds_nobody_up(
    watched: Server, tmp_path: Path, faulty_steps: FaultySteps, caplog: pytest.LogCaptureFixture
) -> None:
    server = watched
    faulty_steps.mode = "hangs"
    running, waiting = await accepted(server, 2)
    await until(lambda: "Drawing has stopped" in running.content and "Drawing has stopped" in waiting.content)
    assert "seems to hang" in caplog.text
    assert "goes_on.wait" in caplog.text
    assert "stuck on my side" in await answered(server, "imagine", prompt="a man img")
    assert "stuck on my side" in await answered(server, "identity add", **LENNA)
    await server.ada.click(waiting, label="Cancel")
    await until(lambda: waiting.content == "Cancelled.")
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("delivered",), ("running",), ("cancelled",)]
    faulty_steps.mode = ""
    faulty_steps.goes_on.set()
    await server.quiet()
    assert len(running.attachments) == 1
    assert "goes on" in caplog.text
    (again,) = await accepted(server)
    await server.quiet()
    assert len(again.attachments) == 1


async def test_a_member_is_forgotten_and_the_bot_stops_while_a_step_hangs(
    watched: Server, tmp_path: Path, faulty_steps: FaultySteps
) -> None:
    server = watched
    faulty_steps.mode = "hangs"
    (running,) = await accepted(server)
    await until(lambda: "Drawing has stopped" in running.content)
    shown = await server.ada.slash(server.channel, "privacy delete")
    assert shown.response is not None
    await server.ada.click(shown.response, label="Delete everything")
    assert rows(tmp_path, "SELECT count(*) FROM jobs") == [(0,)]
    assert running.content == "Cancelled."
    await asyncio.wait_for(server.bot.close(), 10)


async def test_a_dead_thread_is_told_and_its_jobs_are_drawn_after_a_restart(
    watched: Server, tmp_path: Path, tiny_model: PhotoMaker, faulty_steps: FaultySteps, caplog: pytest.LogCaptureFixture
) -> None:
    server = watched
    faulty_steps.mode = "dies"
    (running,) = await accepted(server)
    await until(lambda: "Drawing has stopped" in running.content)
    assert "the GPU thread has died" in caplog.text
    assert "broken down on my side" in await answered(server, "imagine", prompt="a man img")
    assert "broken down on my side" in await answered(server, "identity add", **LENNA)
    faulty_steps.mode = ""
    await server.restart(PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))
    await server.quiet()
    assert len(running.attachments) == 1
