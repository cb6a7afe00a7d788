"""The buttons under a picture, clicked by its owner, by others and after a restart."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import simcord

from bot.app import PhotoMakerBot
from bot.services import job_messages as replies
from photomaker_core.loading.photomaker import PhotoMaker
from tests.server import Server, settings
from tests.test_jobs import rows


async def drawn(studio: Server, **options: object) -> simcord.ResponseMessage:
    await studio.add(studio.ada, "newton")
    return await studio.command(
        studio.ada, "imagine", **{"prompt": "a man img", "seed": 4, "negative": "rain", **options}
    )


async def click(studio: Server, member: simcord.MemberActor, message: object, label: str) -> simcord.InteractionResult:
    result = await member.click(message, label=label)  # type: ignore[arg-type]
    await studio.quiet()
    return result


def says(result: simcord.InteractionResult) -> str:
    assert result.response is not None
    assert result.response.ephemeral
    return result.response.content


async def test_cancel_ends_a_running_job(studio: Server, tmp_path: Path, hold: threading.Event) -> None:
    await studio.add(studio.ada, "newton")
    running = await studio.ada.slash(studio.channel, "imagine", prompt="a man img", steps=100)
    assert running.response is not None
    refused = await studio.bob.click(running.response, label="Cancel")
    assert "only they can do that" in says(refused)
    await studio.ada.click(running.response, label="Cancel")
    hold.set()
    await studio.quiet()
    assert running.response.content == "Cancelled."
    assert running.response.components == []
    assert rows(tmp_path, "SELECT state FROM jobs") == [("cancelled",)]


async def test_a_job_is_cancelled_while_the_model_still_loads(
    studio: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    await studio.add(studio.ada, "newton")
    may_load = threading.Event()

    def load() -> PhotoMaker:
        may_load.wait(60)
        return tiny_model

    await studio.restart(PhotoMakerBot(settings(tmp_path), load=load))
    drawing = asyncio.create_task(studio.ada.slash(studio.channel, "imagine", prompt="a man img"))
    await asyncio.sleep(0.3)
    (job,) = rows(tmp_path, "SELECT id FROM jobs")
    assert studio.bot.jobs.cancel(int(str(job[0])))
    may_load.set()
    waiting = await drawing
    await studio.quiet()
    assert waiting.response is not None
    assert waiting.response.content == "Cancelled."


async def test_again_draws_the_same_with_another_seed(studio: Server, tmp_path: Path) -> None:
    first = await drawn(studio)
    result = await click(studio, studio.ada, first, "Again")
    assert result.response is not None
    assert len(result.response.attachments) == 1
    assert "“a man img”" in result.response.content
    assert "without rain" in result.response.content
    assert "seed `4`" not in result.response.content
    assert len(first.attachments) == 1
    assert rows(tmp_path, "SELECT state FROM jobs") == [("done",), ("done",)]


async def test_change_opens_a_form_with_what_was_asked(studio: Server) -> None:
    first = await drawn(studio, steps=5)
    shown = await studio.ada.click(first, label="Change")
    result = await studio.ada.submit_modal(shown, {"prompt": "a woman in the sea", "negative": "", "seed": "77"})
    await studio.quiet()
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
    studio: Server, changes: dict[str, str], sentence: str
) -> None:
    first = await drawn(studio)
    shown = await studio.ada.click(first, label="Change")
    result = await studio.ada.submit_modal(shown, {"negative": "", **changes})
    assert sentence in says(result)


async def test_delete_removes_the_message(studio: Server) -> None:
    first = await drawn(studio)
    assert "only they can do that" in says(await click(studio, studio.bob, first, "Delete"))
    await click(studio, studio.ada, first, "Delete")
    assert all("a man img" not in message.content for message in studio.channel.history())


@pytest.mark.parametrize("label", ["Again", "Change"])
async def test_nobody_else_draws_somebodys_person(studio: Server, label: str) -> None:
    first = await drawn(studio)
    assert "only they can do that" in says(await click(studio, studio.bob, first, label))


async def test_buttons_work_after_a_restart(studio: Server, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    first = await drawn(studio)
    await studio.restart(PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))
    result = await click(studio, studio.ada, first, "Again")
    assert result.response is not None
    assert len(result.response.attachments) == 1


async def test_buttons_of_a_late_result_find_their_job(
    studio: Server, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    await studio.add(studio.ada, "newton")
    await studio.ada.slash(studio.channel, "imagine", prompt="a man img")
    monkeypatch.setattr(replies, "TOKEN_LIFETIME", timedelta(0))
    hold.set()
    await studio.quiet()
    posted = studio.channel.history()[-1]
    monkeypatch.undo()
    result = await click(studio, studio.ada, posted, "Again")
    assert result.response is not None
    assert len(result.response.attachments) == 1


async def test_a_picture_whose_person_was_deleted_is_not_drawn_again(studio: Server) -> None:
    first = await drawn(studio)
    await studio.command(studio.ada, "identity delete", name="newton")
    result = await click(studio, studio.ada, first, "Again")
    assert result.response is not None
    assert "does not exist any more" in result.response.content


async def test_a_picture_that_is_not_known_says_so(studio: Server, tmp_path: Path) -> None:
    first = await drawn(studio)
    rows(tmp_path, "DELETE FROM jobs")
    assert "do not know this picture" in says(await click(studio, studio.ada, first, "Again"))


async def test_many_pictures_leave_no_views_behind(studio: Server) -> None:
    await drawn(studio)
    before = len(studio.bot._connection._view_store._views)
    for seed in range(3):
        await studio.command(studio.ada, "imagine", prompt="a man img", seed=seed)
    assert len(studio.bot.persistent_views) == 4
    assert len(studio.bot._connection._view_store._views) == before
