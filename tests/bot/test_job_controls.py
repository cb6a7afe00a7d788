"""The buttons under a picture, clicked by its owner, by others and after a restart."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import simcord
from PIL import Image

from bot.app import PhotoMakerBot
from bot.services import job_messages as replies
from bot.views.job_controls import moved_strength
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.server import Server, click, drawn, rows, says, settings


async def test_cancel_ends_a_running_job(server: Server, tmp_path: Path, hold: threading.Event) -> None:
    await server.add(server.ada, "newton")
    running = await server.ada.slash(server.channel, "imagine", prompt="a man img", steps=100)
    assert running.response is not None
    refused = await server.bob.click(running.response, label="Cancel")
    assert "only they can do that" in says(refused)
    await server.ada.click(running.response, label="Cancel")
    hold.set()
    await server.quiet()
    assert running.response.content == "Cancelled."
    assert running.response.components == []
    assert rows(tmp_path, "SELECT state FROM jobs") == [("cancelled",)]


async def test_a_job_is_cancelled_while_the_model_still_loads(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    await server.add(server.ada, "newton")
    may_load = threading.Event()

    def load() -> PhotoMaker:
        may_load.wait(60)
        return tiny_model

    await server.restart(PhotoMakerBot(settings(tmp_path), load=load))
    drawing = asyncio.create_task(server.ada.slash(server.channel, "imagine", prompt="a man img"))
    while not (jobs := rows(tmp_path, "SELECT id FROM jobs")):  # noqa: ASYNC110 - nobody announces a row
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert server.bot.jobs.cancel(int(str(jobs[0][0])))
    may_load.set()
    waiting = await drawing
    await server.quiet()
    assert waiting.response is not None
    assert waiting.response.content == "Cancelled."


async def test_again_draws_the_same_with_another_seed(server: Server, tmp_path: Path) -> None:
    first = await drawn(server)
    result = await click(server, server.ada, first, "Again")
    assert result.response is not None
    assert len(result.response.attachments) == 1
    assert "“a man img”" in result.response.content
    assert "without rain" in result.response.content
    assert "seed `4`" not in result.response.content
    assert len(first.attachments) == 1
    assert rows(tmp_path, "SELECT state FROM jobs") == [("delivered",), ("delivered",)]


async def test_change_opens_a_form_with_what_was_asked(server: Server) -> None:
    first = await drawn(server, steps=5)
    shown = await server.ada.click(first, label="Change")
    result = await server.ada.submit_modal(shown, {"prompt": "a woman in the sea", "negative": "", "seed": "77"})
    await server.quiet()
    assert result.response is not None
    assert len(result.response.attachments) == 1
    assert "“a woman img in the sea”" in result.response.content
    assert "seed `77` · 5 steps" in result.response.content
    assert "without" not in result.response.content


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": "a tree", "seed": "1"}, "who is in the picture"),
        ({"prompt": "a man img", "seed": "-1"}, "must be between"),
        ({"prompt": "a man img", "seed": "many"}, "whole number"),
    ],
)
async def test_a_form_filled_in_wrongly_is_answered_with_a_sentence(
    server: Server, changes: dict[str, str], sentence: str
) -> None:
    first = await drawn(server)
    shown = await server.ada.click(first, label="Change")
    result = await server.ada.submit_modal(shown, {"negative": "", **changes})
    assert sentence in says(result)


async def test_delete_removes_the_message(server: Server) -> None:
    first = await drawn(server)
    assert "only they can do that" in says(await click(server, server.bob, first, "Delete"))
    await click(server, server.ada, first, "Delete")
    assert all("a man img" not in message.content for message in server.channel.history())


@pytest.mark.parametrize("label", ["Again", "Change"])
async def test_nobody_else_draws_somebodys_person(server: Server, label: str) -> None:
    first = await drawn(server)
    assert "only they can do that" in says(await click(server, server.bob, first, label))


async def test_buttons_work_after_a_restart(server: Server, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    first = await drawn(server)
    await server.restart(PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))
    result = await click(server, server.ada, first, "Again")
    assert result.response is not None
    assert len(result.response.attachments) == 1


async def test_buttons_of_a_late_result_find_their_job(
    server: Server, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.add(server.ada, "newton")
    await server.ada.slash(server.channel, "imagine", prompt="a man img")
    monkeypatch.setattr(replies, "TOKEN_LIFETIME", timedelta(0))
    hold.set()
    await server.quiet()
    posted = server.channel.history()[-1]
    monkeypatch.undo()
    result = await click(server, server.ada, posted, "Again")
    assert result.response is not None
    assert len(result.response.attachments) == 1


async def test_a_picture_whose_person_was_deleted_is_not_drawn_again(server: Server) -> None:
    first = await drawn(server)
    await server.command(server.ada, "identity delete", name="newton")
    result = await click(server, server.ada, first, "Again")
    assert result.response is not None
    assert "cannot be drawn here any more" in result.response.content


async def test_a_picture_that_is_not_known_says_so(server: Server, tmp_path: Path) -> None:
    first = await drawn(server)
    rows(tmp_path, "DELETE FROM jobs")
    assert "do not know this picture" in says(await click(server, server.ada, first, "Again"))


async def test_many_pictures_leave_no_views_behind(server: Server) -> None:
    await drawn(server)
    before = len(server.bot._connection._view_store._views)
    for seed in range(3):
        await server.command(server.ada, "imagine", prompt="a man img", seed=seed)
    assert len(server.bot.persistent_views) == 4
    assert len(server.bot._connection._view_store._views) == before


async def size(reply: object, index: int = 0) -> tuple[int, int]:
    return Image.open(io.BytesIO(await reply.attachments[index].read())).size  # type: ignore[attr-defined]


async def test_a_picture_is_upscaled_and_varied(server: Server, tmp_path: Path) -> None:
    first = await drawn(server, steps=10)
    for label, sentence in (("Upscale", "30% drawn anew · 1.5 times as large"), ("Vary a little", "45% drawn anew")):
        result = await click(server, server.ada, first, label)
        assert result.response is not None
        assert sentence in result.response.content
        assert await size(result.response) == ((192, 192) if label == "Upscale" else (128, 128))
    assert rows(tmp_path, "SELECT count(*) FROM jobs WHERE source IS NOT NULL") == [(0,)]
    again = await click(server, server.ada, result.response, "Again")
    assert again.response is not None
    assert "drawn anew" not in again.response.content
    assert "only they can do that" in says(await click(server, server.bob, first, "Upscale"))


async def test_one_of_several_is_varied_by_the_menu(server: Server) -> None:
    several = await drawn(server, steps=10, count=2)
    result = await server.ada.select(several, ["strong:1"])
    await server.quiet()
    assert result.response is not None
    assert "75% drawn anew" in result.response.content
    assert len(result.response.attachments) == 1
    refused = await server.bob.select(several, ["subtle:0"])
    assert "only they can do that" in says(refused)


async def test_a_variation_survives_a_restart(server: Server, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    first = await drawn(server)
    source = await first.attachments[0].read()
    await server.bot.close()
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        connection.execute("DELETE FROM results")
        connection.execute("UPDATE jobs SET state = 'queued', source = ?, interaction_token = NULL", (source,))
    await server.env.restart_bot(bot := PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))
    server.bot = bot
    await server.quiet()
    assert rows(tmp_path, "SELECT state, source FROM jobs") == [("delivered", None)]


async def test_more_like_the_person_and_more_style(server: Server) -> None:
    first = await drawn(server)
    person = await click(server, server.ada, first, "More like them")
    assert person.response is not None
    assert "style strength 10 %" in person.response.content
    assert "seed `4`" in person.response.content
    style = await click(server, server.ada, first, "More style")
    assert style.response is not None
    assert "style strength 35 %" in style.response.content
    none = await click(server, server.ada, person.response, "More like them")
    assert none.response is not None
    assert "cannot go further" in says(await click(server, server.ada, none.response, "More like them"))


@pytest.mark.parametrize(
    ("strength", "difference", "moved"),
    [(20, 15, 35), (60, 15, 65), (65, 15, None), (80, 15, None), (80, -10, 70), (5, -10, 0), (0, -10, None)],
)
def test_style_strength_never_moves_the_other_way(strength: float, difference: float, moved: float | None) -> None:
    assert moved_strength(strength, difference) == moved


async def test_more_style_beyond_the_end_draws_nothing(server: Server) -> None:
    first = await drawn(server, style_strength=80)
    assert "cannot go further" in says(await click(server, server.ada, first, "More style"))
    less = await click(server, server.ada, first, "More like them")
    assert less.response is not None
    assert "style strength 70 %" in less.response.content


async def test_a_variation_drawn_again_keeps_the_style_strength_that_was_asked_for(server: Server) -> None:
    first = await drawn(server, steps=10, style_strength=40)
    varied = await click(server, server.ada, first, "Vary a little")
    assert varied.response is not None
    assert "style strength" not in varied.response.content
    again = await click(server, server.ada, varied.response, "Again")
    assert again.response is not None
    assert "style strength 40 %" in again.response.content


async def test_a_moderator_deletes_what_is_kept_of_a_picture_too(
    server: Server, chief: simcord.MemberActor, tmp_path: Path
) -> None:
    first = await drawn(server)
    await click(server, chief, first, "Delete")
    assert rows(tmp_path, "SELECT picture, thumbnail, settings FROM results") == [(None, None, "{}")]
    assert rows(tmp_path, "SELECT state, request FROM jobs") == [("deleted", "{}")]


async def test_a_picture_is_sent_as_a_direct_message(server: Server) -> None:
    first = await drawn(server, count=2)
    assert "Sent." in says(await click(server, server.ada, first, "Send me"))
    assert "only they can do that" in says(await click(server, server.bob, first, "Send me"))
