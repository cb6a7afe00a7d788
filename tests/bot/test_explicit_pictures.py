"""What members see of pictures that look explicit: by setting, kind of channel, and way of delivery.

The operator's threshold is 0 here, so that the real network takes every picture for explicit.
"""

from __future__ import annotations

import io
import json
import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import discord
import numpy as np
import pytest
import simcord
from PIL import Image

from bot.app import PhotoMakerBot
from bot.services import job_messages
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models import nsfw_classifier
from tests.support.safety import restrict
from tests.support.server import Server, click, drawn_into_dm, rows, settings, upload

if not nsfw_classifier.can_use_nsfw_classifier():
    pytest.skip("the extra safety is not installed", allow_module_level=True)

REFUSED = "looks explicit, and explicit pictures are not shown here"
LEFT_OUT = "is not sent in direct messages"


def bot(folder: Path, model: PhotoMaker, **changes: Any) -> PhotoMakerBot:
    return PhotoMakerBot(settings(folder, **{"explicit_threshold": 0.0, "default_steps": 1} | changes), lambda: model)


@pytest.fixture
def simcord_bot(request: pytest.FixtureRequest, tmp_path: Path, tiny_model: PhotoMaker) -> PhotoMakerBot:
    return bot(tmp_path, tiny_model, **getattr(request, "param", {}))


async def imagine(server: Server, channel: simcord.ChannelHandle | None = None) -> simcord.ResponseMessage:
    result = await server.ada.slash(channel or server.channel, "imagine", prompt="a man img")
    await server.quiet()
    assert result.response is not None
    return result.response


def names(message: simcord.ResponseMessage | discord.Message) -> list[str]:
    return [one.filename for one in message.attachments]


def is_blurred(picture: object) -> bool:
    """Whether neighbours hardly differ."""
    assert isinstance(picture, bytes)
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=float)
    return float(np.abs(np.diff(pixels, axis=1)).mean()) < 8


async def thread_in(server: Server) -> simcord.ChannelHandle:
    parent = server.bot.get_channel(server.channel.id)
    assert isinstance(parent, discord.TextChannel)
    await parent.create_thread(name="a thread", type=discord.ChannelType.public_thread)
    (thread,) = server.channel.threads
    return thread


@pytest.mark.parametrize("is_restricted", [False, True], ids=["usual", "age-restricted"])
async def test_the_setting_and_the_channel_decide(
    server: Server,
    chief: simcord.MemberActor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_restricted: bool,
) -> None:
    await server.add(server.ada, "newton")
    if is_restricted:
        restrict(server, monkeypatch)
    thread = await thread_in(server)
    assert "Explicit pictures: refused, and behind" in (await server.command(chief, "admin show")).content
    for setting in (None, "spoiler", "blur", "refuse"):
        told = await server.command(chief, "admin explicit", **({"pictures": setting} if setting else {}))
        assert f"Explicit pictures: {setting or 'refused'}" in told.content
        expected = setting or ("spoiler" if is_restricted else "refuse")
        for place in (server.channel, thread):
            shown = await imagine(server, place)
            ((job_id, state, error),) = rows(tmp_path, "SELECT id, state, error FROM jobs ORDER BY id DESC LIMIT 1")
            stored = rows(tmp_path, "SELECT is_spoiler, thumbnail FROM results WHERE job_id = ?", job_id)
            if expected == "refuse":
                assert REFUSED in shown.content
                assert (names(shown), stored, state) == ([], [], "refused")
                assert REFUSED in str(error)
                continue
            prefix = "SPOILER_" if expected == "spoiler" else ""
            assert names(shown) == [f"{prefix}picture-{job_id}-1.png"]
            ((is_spoiler, thumbnail),) = stored
            assert (is_spoiler, state) == (expected == "spoiler", "delivered")
            assert is_blurred(thumbnail) is (expected == "blur")
            assert is_blurred(await shown.attachments[0].read()) is (expected == "blur")
            assert ("1 picture looks explicit and is blurred." in shown.content) is (expected == "blur")


@pytest.mark.parametrize(
    ("simcord_bot", "shown_as"),
    [
        ({}, None),
        ({"explicit_in_direct_messages": "spoiler"}, "SPOILER_picture-1-1.png"),
        ({"explicit_in_direct_messages": "blur"}, "picture-1-1.png"),
    ],
    indirect=["simcord_bot"],
)
async def test_in_direct_messages_the_operator_decides(server: Server, shown_as: str | None) -> None:
    await server.add(server.ada, "newton")
    result = await server.ada.user.slash("imagine", prompt="a man img")
    await server.quiet()
    assert names(result.response) == ([] if shown_as is None else [shown_as])
    assert (REFUSED in result.response.content) is (shown_as is None)
    if shown_as is not None:
        assert is_blurred(await result.response.attachments[0].read()) is not shown_as.startswith("SPOILER_")


async def test_a_channel_that_the_bot_does_not_know_is_asked_for(
    server: Server, chief: simcord.MemberActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a member has installed the bot for themself: where Discord does not tell, all is refused."""
    await server.add(server.ada, "newton")
    restrict(server, monkeypatch)
    await server.env.settle()
    guild = server.bot.get_guild(server.env.guild.id)
    assert guild is not None
    guild._channels.pop(server.channel.id)
    assert names(await imagine(server)) == ["SPOILER_picture-1-1.png"]
    await server.command(chief, "admin explicit", pictures="spoiler")
    for status, code in ((403, 50001), (404, 10003)):
        guild._channels.pop(server.channel.id, None)
        server.env.inject_error("GET", f"/channels/{server.channel.id}", status=status, code=code)
        assert REFUSED in (await imagine(server)).content
    assert rows(tmp_path, "SELECT state FROM jobs") == [("delivered",), ("refused",), ("refused",)]


async def test_every_command_and_every_button_goes_the_same_way(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Refused in a usual channel, behind a spoiler in an age-restricted one, and so in the history."""
    await server.add(server.ada, "newton")
    await server.add(server.ada, "euler", upload(3))
    asked: list[tuple[str, dict[str, Any]]] = [
        ("imagine", {"prompt": "a man img", "count": 2}),
        ("mix", {"prompt": "a man img", "id1": "newton", "id2": "euler"}),
        ("together", {"prompt": "a man img and a man img", "id1": "newton", "id2": "euler"}),
        ("edit", {"age": "old"}),
        ("reality", {}),
    ]
    for command, options in asked:
        refused = await server.command(server.ada, command, **options)
        assert (REFUSED in refused.content, names(refused)) == (True, [])
    assert rows(tmp_path, "SELECT count(*) FROM results") == [(0,)]
    assert "no pictures yet" in json.dumps((await server.command(server.ada, "history")).components)
    restrict(server, monkeypatch)
    for command, options in asked:
        shown = await server.command(server.ada, command, **options)
        assert len(names(shown)) == options.get("count", 1)
        assert all(name.startswith("SPOILER_picture-") for name in names(shown))
    for label in ("Again", "Upscale"):
        again = (await click(server, server.ada, shown, label)).response
        assert again is not None
        assert [name.startswith("SPOILER_picture-") for name in names(again)] == [True]
    for command, options in (("history", {}), ("identity activity", {"name": "euler"})):
        page = await server.command(server.ada, command, **options)
        assert len(names(page)) == 4
        assert all(name.startswith("SPOILER_thumbnail-") for name in names(page))
        assert json.dumps(page.components).count('"spoiler": true') == 4
    styles = await server.command(server.ada, "style")
    assert (names(styles), "Cinematic" in json.dumps(styles.components)) == ([], True)


async def test_no_preview_of_an_explicit_picture_is_shown(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.services.open_jobs.EDIT_INTERVAL_S", 0.0)
    restrict(server, monkeypatch)
    await server.add(server.ada, "newton")
    for threshold, is_previewed in ((0.0, False), (1.0, True)):
        await server.restart(bot(tmp_path, tiny_model, explicit_threshold=threshold, default_steps=8))
        edits: list[str] = []
        edit = job_messages.JobMessages.progress

        async def noted(*arguments: Any, edits: list[str] = edits, edit: Any = edit) -> None:
            edits.extend(one.name for one in arguments[3])
            await edit(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(job_messages.JobMessages, "progress", noted)
            await imagine(server)
        assert bool(edits) is is_previewed


async def test_of_several_pictures_the_explicit_ones_are_left_out(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    unmarked = {"provenance_watermark": False}
    await server.restart(bot(tmp_path, tiny_model, explicit_threshold=1.0, **unmarked))
    await server.add(server.ada, "newton")
    asked = {"prompt": "a man img", "count": 4, "seed": 4}
    whole = await server.command(server.ada, "imagine", **asked)
    pictures = [Image.open(io.BytesIO(await one.read())) for one in whole.attachments]
    scores = nsfw_classifier.NsfwClassifier().scores(pictures)
    order = sorted(scores)
    low, high = max(pairwise(order), key=lambda pair: pair[1] - pair[0])
    harmless = [number for number, score in enumerate(scores) if score <= low]
    await server.restart(bot(tmp_path, tiny_model, explicit_threshold=(low + high) / 2, **unmarked))
    shown = await server.command(server.ada, "imagine", **asked)
    assert [await one.read() for one in shown.attachments] == [await whole.attachments[n].read() for n in harmless]
    assert rows(tmp_path, "SELECT seed FROM results WHERE job_id = 2") == [(4 + number,) for number in harmless]
    left_out = 4 - len(harmless)
    told = "1 picture looks explicit and is" if left_out == 1 else f"{left_out} pictures look explicit and are"
    assert f"{told} left out" in shown.content
    offered = json.dumps(shown.components)
    assert (f"picture {len(harmless)}" in offered, f"picture {len(harmless) + 1}" in offered) == (
        len(harmless) > 1,
        False,
    )
    assert "seed" in (await click(server, server.ada, shown, "Again")).response.content


@pytest.mark.parametrize(
    ("simcord_bot", "shown_as"),
    [
        ({}, []),
        ({"explicit_in_direct_messages": "spoiler"}, ["SPOILER_"]),
        ({"explicit_in_direct_messages": "blur"}, [""]),
    ],
    indirect=["simcord_bot"],
)
async def test_from_a_channel_into_direct_messages(
    server: Server, monkeypatch: pytest.MonkeyPatch, hold: threading.Event, shown_as: list[str]
) -> None:
    """By the button, and where the channel takes no message any more."""
    restrict(server, monkeypatch)
    await server.add(server.ada, "newton")
    await server.ada.slash(server.channel, "imagine", prompt="a man img")
    await drawn_into_dm(server, hold, monkeypatch)
    shown = await imagine(server)
    assert names(shown) == ["SPOILER_picture-2-1.png"]
    clicked = await click(server, server.ada, shown, "Send me")
    fallen_back, *sent = server.ada.user.dm_channel.history()[-1 - len(shown_as) :]
    assert names(fallen_back) == [f"{prefix}picture-1-1.png" for prefix in shown_as]
    assert (LEFT_OUT in fallen_back.content) is (shown_as == [])
    assert [names(message) for message in sent] == [[f"{prefix}picture-2-1.png"] for prefix in shown_as]
    assert clicked.response is not None
    assert (LEFT_OUT in clicked.response.content) is (shown_as == [])


async def test_a_spoiler_stays_one_through_retries_restarts_and_smaller_files(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    restrict(server, monkeypatch)
    monkeypatch.setattr("bot.services.delivery._SMALLER", 0.9)
    await server.add(server.ada, "newton")
    monkeypatch.setattr("bot.services.delivery.FIRST_WAIT_S", 600.0)
    server.env.inject_error("PATCH", "/webhooks/*/messages/*", status=413)
    shown = await imagine(server)
    assert [name.startswith("SPOILER_picture-1-1.") for name in names(shown)] == [True]
    with monkeypatch.context() as patch:
        patch.setattr(job_messages, "TOKEN_LIFETIME", timedelta(0))
        await imagine(server)
    assert names(server.channel.history()[-1]) == ["SPOILER_picture-2-1.png"]
    kept = bot(tmp_path, tiny_model, keep_pictures=True)
    await server.restart(kept)
    again = await imagine(server)
    rows(tmp_path, "UPDATE jobs SET state = 'drawn', awaits_delivery = 1, interaction_token = 'x' WHERE id = 3")
    await server.bot.close()
    monkeypatch.setattr(nsfw_classifier, "can_use_nsfw_classifier", lambda: False)
    nsfw_classifier.loaded_nsfw_classifier.cache_clear()
    await server.env.restart_bot(unchecked := bot(tmp_path, tiny_model))
    server.bot = unchecked
    await server.quiet()
    nsfw_classifier.loaded_nsfw_classifier.cache_clear()
    for message in server.channel.history():
        assert all(name.startswith("SPOILER_") for name in names(message))
    assert names(again) == ["SPOILER_picture-3-1.png"]


async def test_a_refusal_is_told_after_a_restart_and_counts_as_one_of_the_days_pictures(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    await server.restart(bot(tmp_path, tiny_model, max_pictures_a_day=1))
    await server.add(server.ada, "newton")
    refused = await imagine(server)
    rows(tmp_path, "UPDATE jobs SET awaits_delivery = 1")
    await server.restart(bot(tmp_path, tiny_model, max_pictures_a_day=1))
    await server.quiet()
    assert rows(tmp_path, "SELECT state, awaits_delivery FROM jobs") == [("refused", 0)]
    assert sum(REFUSED in one.content for one in server.channel.history()) == 1
    assert REFUSED in refused.content
    assert "1 are the most" in (await imagine(server)).content


async def test_what_cannot_be_checked_is_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_arguments: object) -> list[float]:
        raise OSError("the network is gone")

    monkeypatch.setattr(nsfw_classifier.NsfwClassifier, "scores", broken)
    await server.add(server.ada, "newton")
    shown = await imagine(server)
    assert (names(shown), "something went wrong on my side" in shown.content) == ([], True)
    assert rows(tmp_path, "SELECT count(*) FROM results") == [(0,)]


async def test_moderators_read_where_nothing_is_checked(
    server: Server, chief: simcord.MemberActor, tmp_path: Path, tiny_model: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (await server.command(chief, "admin explicit", pictures="spoiler")).content
    assert "age-restricted channels only" in told
    monkeypatch.setattr(nsfw_classifier, "can_use_nsfw_classifier", lambda: False)
    nsfw_classifier.loaded_nsfw_classifier.cache_clear()
    await server.restart(bot(tmp_path, tiny_model))
    nsfw_classifier.loaded_nsfw_classifier.cache_clear()
    await server.add(server.ada, "newton")
    assert "has not installed the check" in (await server.command(chief, "admin show")).content
    assert names(await imagine(server)) == ["picture-1-1.png"]
