"""What ends a job reaches its member exactly once: faults at every request, restarts, a database that is busy."""

from __future__ import annotations

import json
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest

from bot.app import PhotoMakerBot
from bot.services import delivery, job_messages
from bot.services.delivery import Next, retry_after_s, what_next
from photomaker_core.loading.photomaker import PhotoMaker
from storage import JobStore
from tests.support import uploads
from tests.support.faults import Fault, Faults, answer
from tests.support.server import Server, rows, settings, until

REPLY = "/webhooks/*/messages/*"
PICTURE = "picture-"
"""What a request holds that delivers."""
POST = "/channels/*/messages"


@pytest.fixture
def faults(server: Server, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Faults, and no long waits after them."""
    installed = Faults()
    installed.install(monkeypatch)
    monkeypatch.setattr(delivery, "FIRST_WAIT_S", 0.01)
    return installed


def posted(server: Server, job_id: int) -> list[Any]:
    """The messages, wherever they are, that hold a job's picture."""
    return [
        message
        for channel in server.env.backend.messages.values()
        for message in channel.values()
        if any(f"picture-{job_id}-" in str(one) for one in message.attachments)
    ]


def last_job(folder: Path) -> tuple[int, str]:
    ((job_id, state),) = rows(folder, "SELECT id, state FROM jobs ORDER BY id DESC LIMIT 1")
    return int(str(job_id)), str(state)


def assert_delivered_once(server: Server, folder: Path, what: str) -> None:
    job_id, state = last_job(folder)
    assert state == "delivered", what
    assert len(posted(server, job_id)) == 1, what
    assert rows(folder, "SELECT count(*) FROM results WHERE picture IS NOT NULL") == [(0,)], what
    assert rows(folder, "SELECT count(*) FROM jobs WHERE interaction_token IS NOT NULL OR awaits_delivery") == [(0,)]


async def draw(server: Server) -> None:
    await server.ada.slash(server.channel, "imagine", prompt="a man img")
    await server.quiet()


async def restarted(server: Server, folder: Path, model: PhotoMaker, **changes: Any) -> None:
    await server.restart(PhotoMakerBot(settings(folder, **changes), load=lambda: model))


@pytest.mark.parametrize("keep", [True, False])
async def test_what_is_drawn_is_delivered_after_a_restart_without_drawing_again(
    server: Server,
    tmp_path: Path,
    tiny_model: PhotoMaker,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    keep: bool,
) -> None:
    await restarted(server, tmp_path, tiny_model, keep_pictures=keep)
    await server.add(server.ada, "newton")
    faults.at("PATCH", REPLY, answer(503), saying=PICTURE, times=1_000_000)
    monkeypatch.setattr(delivery, "FIRST_WAIT_S", 600.0)
    monkeypatch.setattr("bot.services.jobs.STOP_PATIENCE_S", 0.1)
    await server.ada.slash(server.channel, "imagine", prompt="a man img", seed=4)
    await until(lambda: last_job(tmp_path)[1] == "drawn")
    ((drawn,),) = rows(tmp_path, "SELECT picture FROM results")
    await server.bot.close()
    faults.clear()

    def no_model() -> PhotoMaker:
        raise RuntimeError("this model draws nothing")

    server.bot = PhotoMakerBot(settings(tmp_path, keep_pictures=keep), load=no_model)
    await server.env.restart_bot(server.bot)
    await server.quiet()
    job_id, state = last_job(tmp_path)
    assert state == "delivered"
    assert len(posted(server, job_id)) == 1
    assert rows(tmp_path, "SELECT picture FROM results") == [(drawn if keep else None,)]


@pytest.mark.parametrize(
    "error",
    [
        json.JSONDecodeError("an answer that is a page", "<html>", 0),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"),
        RuntimeError("Session is closed"),
        ValueError("nobody thought of it"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("says", [PICTURE, "Cancelled."])
async def test_no_error_of_a_request_ends_its_retries(
    server: Server, tmp_path: Path, faults: Faults, hold: threading.Event, error: Exception, says: str
) -> None:
    await server.add(server.ada, "newton")
    faults.at("PATCH", REPLY, Fault("odd", error), saying=says, times=2)
    result = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    if says != PICTURE:
        assert result.response is not None
        await server.ada.click(result.response, label="Cancel")
    hold.set()
    await server.quiet()
    assert faults.met == ["odd", "odd"]
    assert rows(tmp_path, "SELECT state, awaits_delivery FROM jobs") == [
        ("delivered" if says == PICTURE else "cancelled", 0)
    ]


@pytest.mark.parametrize("request_text", ['{"version": 99}', '{"version": 3}', "no json at all"])
async def test_a_drawn_picture_whose_request_cannot_be_read_is_delivered(
    server: Server,
    tmp_path: Path,
    tiny_model: PhotoMaker,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    request_text: str,
) -> None:
    await server.add(server.ada, "newton")
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "FIRST_WAIT_S", 600.0)
        patch.setattr("bot.services.jobs.STOP_PATIENCE_S", 0.1)
        faults.at("PATCH", REPLY, answer(503), saying=PICTURE, times=1_000_000)
        result = await server.ada.slash(server.channel, "imagine", prompt="a man img")
        await until(lambda: last_job(tmp_path)[1] == "drawn")
        await server.bot.close()
    faults.clear()
    rows(tmp_path, "UPDATE jobs SET request = ?", request_text)
    await server.env.restart_bot(bot := PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))
    server.bot = bot
    await server.quiet()
    assert_delivered_once(server, tmp_path, request_text)
    assert result.response is not None
    assert "ask again" in result.response.content.lower()


@pytest.mark.parametrize(("state", "says"), [("failed", "no, sorry"), ("cancelled", "Cancelled.")])
async def test_an_end_that_nobody_was_told_is_told_after_a_restart(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event, state: str, says: str
) -> None:
    await server.add(server.ada, "newton")
    result = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    await server.stop(hold)
    rows(tmp_path, "UPDATE jobs SET state = ?, error = 'no, sorry', awaits_delivery = 1, message_id = NULL", state)
    await restarted(server, tmp_path, tiny_model)
    await server.quiet()
    assert result.response is not None
    assert result.response.content == says
    assert rows(tmp_path, "SELECT state, awaits_delivery, interaction_token FROM jobs") == [(state, 0, None)]


async def test_a_job_whose_message_was_never_stored_is_drawn_into_its_reply(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    result = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    rows(tmp_path, "UPDATE jobs SET message_id = NULL")
    hold.set()
    await restarted(server, tmp_path, tiny_model)
    await server.quiet()
    assert result.response is not None
    assert len(result.response.attachments) == 1
    assert_delivered_once(server, tmp_path, "without a message")


async def test_a_job_that_ends_while_the_database_is_locked_is_told_and_stored_later(
    server: Server, tmp_path: Path, hold: threading.Event, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    monkeypatch.setattr(delivery, "SAVE_PATIENCE_S", 0.2)
    await server.add(server.ada, "newton")
    drawn = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    await until(lambda: rows(tmp_path, "SELECT 1 FROM jobs WHERE state = 'running'"))
    cancelled = await server.ada.slash(server.channel, "imagine", prompt="a man img", steps=100)
    other = sqlite3.connect(tmp_path / "bot.db", check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        server.bot.jobs.cancel(2)
        hold.set()
        assert cancelled.response is not None
        assert drawn.response is not None
        told, shown = cancelled.response, drawn.response
        await until(lambda: told.content == "Cancelled." and shown.attachments)
        states = [state for (state,) in rows(tmp_path, "SELECT state FROM jobs ORDER BY id")]
        assert states == ["running", "queued"]
    finally:
        other.rollback()
        other.close()
    await server.quiet()
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("delivered",), ("cancelled",)]


async def test_a_delivery_is_given_up_after_a_day(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, faults: Faults, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    await server.ada.slash(server.channel, "imagine", prompt="a man img")
    await server.stop(hold)
    yesterday = str(datetime.now(UTC) - timedelta(hours=25))
    rows(tmp_path, "UPDATE jobs SET state = 'drawn', awaits_delivery = 1, finished_at = ?", yesterday)
    faults.at("PATCH", REPLY, answer(503), times=5)
    await restarted(server, tmp_path, tiny_model)
    await server.quiet()
    assert len(faults.met) == 1
    ((state, error),) = rows(tmp_path, "SELECT state, error FROM jobs")
    assert state == "failed"
    assert "for a day" in str(error)


async def test_who_is_forgotten_gets_no_more_pictures(
    server: Server, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.services.jobs.FORGET_PATIENCE_S", 0.1)
    monkeypatch.setattr(delivery, "FIRST_WAIT_S", 600.0)
    await server.add(server.ada, "newton")
    faults.at("PATCH", REPLY, answer(503), saying=PICTURE, times=1_000_000)
    await server.ada.slash(server.channel, "imagine", prompt="a man img")
    await until(lambda: faults.met)
    assert last_job(tmp_path)[1] == "drawn"
    faults.clear()
    shown = await server.ada.slash(server.channel, "privacy delete")
    assert shown.response is not None
    await server.ada.click(shown.response, label="Delete everything")
    await server.quiet()
    assert rows(tmp_path, "SELECT count(*) FROM jobs") == [(0,)]
    assert posted(server, 1) == []


@pytest.mark.parametrize("is_closed", [False, True], ids=["channel", "direct"])
async def test_a_message_that_arrived_before_a_restart_is_found_and_not_sent_again(
    server: Server,
    tmp_path: Path,
    tiny_model: PhotoMaker,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    is_closed: bool,
) -> None:
    monkeypatch.setattr(job_messages, "TOKEN_LIFETIME", timedelta(0))
    await server.add(server.ada, "newton")
    if is_closed:
        faults.at("POST", f"/channels/{server.channel.id}/messages", answer(403, 50013), times=2)
    await draw(server)
    (sent,) = posted(server, 1)
    for state in ("drawn", "failed"):
        rows(tmp_path, "UPDATE jobs SET state = ?, awaits_delivery = 1, message_id = NULL, error = 'no, sorry'", state)
        rows(tmp_path, "UPDATE results SET picture = ?", uploads.encoded(uploads.picture(), "PNG"))
        faults.forget_nonces()
        await restarted(server, tmp_path, tiny_model)
        await server.quiet()
        assert len(posted(server, 1)) == 1
        ((message_id,),) = rows(tmp_path, "SELECT message_id FROM jobs")
        assert (message_id == sent.id) is (state == "drawn")


def http_error(status: int, code: int = 0, headers: dict[str, str] | None = None) -> discord.HTTPException:
    response = SimpleNamespace(status=status, reason="", headers=headers or {})
    return discord.HTTPException(response, {"code": code, "message": ""})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "on_reply", "elsewhere"),
    [
        (http_error(500), Next.AGAIN, Next.AGAIN),
        (http_error(429), Next.AGAIN, Next.AGAIN),
        (discord.RateLimited(3.0), Next.AGAIN, Next.AGAIN),
        (aiohttp.ClientPayloadError(), Next.AGAIN, Next.AGAIN),
        (http_error(401, 50027), Next.ELSEWHERE, Next.AGAIN),
        (http_error(403, 50001), Next.ELSEWHERE, Next.ELSEWHERE),
        (http_error(404, 10003), Next.ELSEWHERE, Next.ELSEWHERE),
        (http_error(400, 50035), Next.ELSEWHERE, Next.ELSEWHERE),
        (http_error(413), Next.SMALLER, Next.SMALLER),
        (http_error(400, 40005), Next.SMALLER, Next.SMALLER),
    ],
    ids=str,
)
def test_each_answer_asks_for_one_thing(error: Exception, on_reply: Next, elsewhere: Next) -> None:
    assert what_next(error, is_reply=True) is on_reply
    assert what_next(error, is_reply=False) is elsewhere


def test_the_wait_that_discord_asks_for_is_read() -> None:
    assert retry_after_s(discord.RateLimited(3.5)) == 3.5
    assert retry_after_s(http_error(429, headers={"Retry-After": "7"})) == 7
    assert retry_after_s(http_error(429, headers={"Retry-After": "soon"})) == 0
    assert retry_after_s(ConnectionResetError()) == 0


async def test_a_message_is_sent_with_a_nonce_that_discord_enforces(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.add(server.ada, "newton")
    monkeypatch.setattr(job_messages, "TOKEN_LIFETIME", timedelta(0))
    await draw(server)
    posts = [one for one in server.env.http_requests if one.method == "POST" and one.path.endswith("/messages")]
    (sent,) = [one.json or {} for one in posts]
    assert (sent["nonce"], sent["enforce_nonce"]) == ("photomaker-1", True)
    assert len(sent["nonce"]) <= 25


async def test_a_row_that_cannot_be_written_at_all_still_tells_the_member(
    server: Server, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    await server.add(server.ada, "newton")

    async def broken(*_: object) -> bool:
        raise sqlite3.IntegrityError("no")

    monkeypatch.setattr(JobStore, "drawn", broken)
    result = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    await server.quiet()
    assert result.response is not None
    assert len(result.response.attachments) == 1
