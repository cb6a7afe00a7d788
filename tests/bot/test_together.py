"""/together: several people in one picture, through Discord, as members use it."""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simcord
from PIL import Image

from bot.app import PhotoMakerBot
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.gpu_faults import SlowLoad
from tests.support.server import Server, click, rows, says, settings, upload

PROMPT = "a man img and a woman img at the beach"


async def pixels(reply: object, index: int = 0) -> np.ndarray:
    picture = Image.open(io.BytesIO(await reply.attachments[index].read()))  # type: ignore[attr-defined]
    return np.asarray(picture.convert("RGB"))


async def people(server: Server) -> None:
    await server.add(server.ada, "one", upload(1))
    await server.add(server.ada, "two", upload(2), upload(3))


async def together(server: Server, **options: object) -> simcord.ResponseMessage:
    return await server.command(
        server.ada, "together", **{"id1": "one", "id2": "two", "prompt": PROMPT, "seed": 4, **options}
    )


async def swapped(server: Server, message: object) -> simcord.ResponseMessage:
    result = await click(server, server.ada, message, "Swap places")
    assert result.response is not None
    return result.response


def requests(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(str(text)) for (text,) in rows(folder, "SELECT request FROM jobs ORDER BY id")]


@pytest.mark.parametrize("layout", ["side by side", "in front of", "automatic"])
async def test_two_people_are_drawn_and_swap_places(server: Server, layout: str) -> None:
    await people(server)
    first = await together(server, layout=layout)
    assert first.content.startswith(f"“{PROMPT}”\n⁨**one**⁩ & ⁨**two**⁩ · seed `4`")
    assert ("layout: " in first.content) == (layout != "automatic")
    other = await swapped(server, first)
    assert "seed `4`" in other.content
    assert "places swapped" in other.content
    back = await swapped(server, other)
    assert "places swapped" not in back.content
    assert not np.array_equal(await pixels(first), await pixels(other))
    assert np.array_equal(await pixels(first), await pixels(back))


async def test_a_blend_of_the_same_people_is_another_picture_and_has_no_places(server: Server) -> None:
    await people(server)
    picture = await together(server, prompt="a person and a person")
    mixed = await server.command(server.ada, "mix", id1="one", id2="two", prompt="a person and a person", seed=4)
    assert not np.array_equal(await pixels(picture), await pixels(mixed))
    assert "Swap places" in str(picture.components)
    assert "Swap places" not in str(mixed.components)


async def test_three_people_with_every_option(server: Server) -> None:
    await people(server)
    await server.add(server.ada, "three", upload(4))
    reply = await together(
        server,
        id3="three",
        prompt="a man, a woman and a boy",
        layout="right of",
        style="Cinematic",
        quality="fast",
        count=2,
        negative="(rain:1.2)",
        steps=4,
        guidance=2.5,
        style_strength=30.0,
    )
    assert "“a man img, a woman img and a boy img”" in reply.content
    for part in ("& ⁨**three**⁩", "Cinematic", "layout: right of", "quality: fast", "after the word for each person"):
        assert part in reply.content
    assert len(reply.attachments) == 2
    pictures = [await pixels(reply)]
    for _ in range(3):
        reply = await swapped(server, reply)
        pictures.append(await pixels(reply))
    assert np.array_equal(pictures[0], pictures[3])
    assert len({picture.tobytes() for picture in pictures}) == 3


async def test_a_prompt_that_names_nobody_is_about_these_people(server: Server) -> None:
    await people(server)
    reply = await together(server, prompt="dancing in the rain")
    assert "“a person img and a person img, dancing in the rain”" in reply.content


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"id2": "ONE"}, "Everybody can be in the picture once"),
        ({"id2": "nobody"}, "no identity called “nobody”"),
        ({"prompt": "a man img"}, "1 times for 2 people"),
        ({"prompt": "a man at the beach"}, "a word for 1 of 2 people"),
        ({"prompt": f"{PROMPT} and a boy img"}, "3 times for 2 people"),
        ({"prompt": "a man img and a (woman img:9)"}, "must be between 0 and 3; 9 is not"),
        ({"prompt": "x" * 1001}, "1001 characters long; at most 1000"),
    ],
    ids=str,
)
async def test_what_cannot_be_drawn_is_explained(server: Server, options: dict[str, object], sentence: str) -> None:
    await people(server)
    reply = await together(server, **options)
    assert sentence in reply.content
    assert reply.attachments == []


async def test_imagine_and_mix_name_the_command_that_is_meant(server: Server) -> None:
    await people(server)
    told = await server.command(server.ada, "imagine", prompt=PROMPT, identity="one")
    assert f"use: /together id1: one id2: … prompt: {PROMPT}" in told.content
    told = await server.command(server.ada, "mix", id1="one", id2="two", prompt=PROMPT)
    example = re.search(r"/together id1: (\w+) id2: (\w+) prompt: (.*)", told.content)
    assert example is not None
    reply = await together(server, id1=example[1], id2=example[2], prompt=example[3])
    assert len(reply.attachments) == 1


async def test_a_kept_prompt_may_name_several(server: Server) -> None:
    await people(server)
    picture = await together(server)
    shown = await server.ada.click(picture, label="Keep prompt")
    result = await server.ada.submit_modal(shown, {"name": "beach", "prompt": PROMPT})
    assert "Kept the prompt" in says(result)
    alone = await server.command(server.ada, "prompt use", name="beach", identity="one")
    assert "use: /together id1: one" in alone.content
    both = await server.command(server.ada, "prompt use", name="beach", identity="one", id2="two", layout="left of")
    assert "⁨**one**⁩ & ⁨**two**⁩" in both.content
    assert "layout: left of" in both.content
    odd = await server.command(server.ada, "prompt use", name="beach", identity="one", layout="left of")
    assert "for two or three people, not for 1" in odd.content
    refused = await server.command(server.ada, "prompt save", name="x", prompt="a man img with img")
    assert "number 2 needs a word" in refused.content


async def test_other_pictures_of_it_know_where_people_were(server: Server, tmp_path: Path) -> None:
    await people(server)
    first = await together(server, count=2)
    (request,) = requests(tmp_path)
    assert [set(text) <= {"0", "1"} for text in request["kept_regions"]] == [True, True]
    result = await server.ada.select(first, ["subtle:1"])
    await server.quiet()
    assert result.response is not None
    assert len(result.response.attachments) == 1
    again = await click(server, server.ada, result.response, "Again")
    assert again.response is not None
    swap = await swapped(server, await swapped(server, result.response))
    shown = await server.ada.click(swap, label="Change")
    changed = await server.ada.submit_modal(shown, {"prompt": "a man, a woman", "negative": "", "seed": ""})
    await server.quiet()
    assert changed.response is not None
    assert "“a man img, a woman img”" in changed.response.content
    _, varied, drawn_again, *_ = requests(tmp_path)
    assert varied["kept_regions"] == request["kept_regions"][1:]
    assert drawn_again["denoise_strength"] == 1
    assert len(drawn_again["kept_regions"]) == 1
    assert rows(tmp_path, "SELECT DISTINCT state FROM jobs") == [("delivered",)]


async def test_photos_that_find_no_room_are_told(server: Server) -> None:
    await people(server)
    reply = await together(server, prompt="a man img and a woman img " + "a b c " * 98 + "a")
    assert "Not all photos found room beside these words. I used: 1 of 1, 1 of 2." in reply.content
    again = await click(server, server.ada, reply, "Again")
    assert again.response is not None
    assert again.response.content.count("Not all photos") == 1


async def test_only_people_that_are_shared_are_drawn_and_only_as_long(server: Server) -> None:
    await people(server)
    await server.add(server.bob, "friend", upload(7))
    wanted = {"id1": "friend", "prompt": PROMPT}
    for stranger in ("two", "somebody else's identity, by its number: 2"):
        refused = await server.command(server.bob, "together", id2=stranger, **wanted)
        assert refused.attachments == []
    await server.command(server.ada, "identity share", name="two", member=server.bob)
    (choice,) = await server.bob.autocomplete(server.channel, "together", "id2", "two")
    picture = await server.command(server.bob, "together", id2=choice["value"], **wanted)
    assert "⁨**friend**⁩ & ⁨**two**⁩" in picture.content
    assert "only they can do that" in says(await server.ada.click(picture, label="Swap places"))
    await server.command(server.ada, "identity unshare", name="two")
    result = await click(server, server.bob, picture, "Swap places")
    assert result.response is not None
    assert "cannot be drawn here any more" in result.response.content


async def test_a_person_deleted_while_it_waits_is_not_drawn(
    server: Server, tmp_path: Path, hold: threading.Event
) -> None:
    await people(server)
    before = await server.ada.slash(server.channel, "imagine", prompt="a man img", identity="one", steps=5)
    waiting = await server.ada.slash(server.channel, "together", id1="one", id2="two", prompt=PROMPT, aspect="7:4 wide")
    await server.ada.slash(server.channel, "identity delete", name="two")
    hold.set()
    await server.quiet()
    assert before.response is not None
    assert len(before.response.attachments) == 1
    assert waiting.response is not None
    assert "cannot be drawn here any more" in waiting.response.content
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("delivered",), ("failed",)]


async def test_a_restart_draws_the_same_people(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await people(server)
    expected_by = {"id1": "one", "id2": "two", "prompt": PROMPT, "seed": 4, "layout": "right of"}
    waiting = await server.ada.slash(server.channel, "together", **expected_by)
    closing = asyncio.create_task(server.bot.close())
    hold.set()
    await closing
    load = SlowLoad(tiny_model)
    await server.env.restart_bot(bot := PhotoMakerBot(settings(tmp_path), load=load))
    server.bot = bot
    load.may_load.set()
    await server.quiet()
    assert waiting.response is not None
    drawn = await together(server, layout="right of")
    assert np.array_equal(await pixels(waiting.response), await pixels(drawn))
    other = await swapped(server, waiting.response)
    assert "places swapped" in other.content


async def test_it_is_drawn_in_direct_messages(server: Server) -> None:
    await people(server)
    result = await server.ada.user.slash("together", id1="one", id2="two", prompt=PROMPT)
    await server.quiet()
    assert result.response is not None
    assert len(result.response.attachments) == 1
    swap = await server.ada.user.click(result.response, label="Swap places")
    await server.quiet()
    assert swap.response is not None
    assert len(swap.response.attachments) == 1


async def test_it_is_in_the_history_and_the_export_and_names_nobody_who_is_gone(server: Server, tmp_path: Path) -> None:
    await server.add(server.ada, "one", upload(1))
    await server.command(server.ada, "identity share", name="one", member=server.bob)
    await server.add(server.bob, "friend", upload(7))
    (choice,) = await server.bob.autocomplete(server.channel, "together", "id2", "one")
    await server.command(server.bob, "together", id1="friend", id2=choice["value"], prompt=PROMPT, layout="left of")
    exported = await server.command(server.bob, "privacy export")
    with zipfile.ZipFile(io.BytesIO(await exported.attachments[0].read())) as archive:
        text = archive.read(next(name for name in archive.namelist() if name.endswith(".json"))).decode()
    assert '"layout": "left of"' in text
    shown = await server.ada.slash(server.channel, "privacy delete")
    await server.ada.click(shown.response, label="Delete everything")
    await server.quiet()
    (request,) = requests(tmp_path)
    assert [one["name"] for one in request["identities"]] == ["friend", "somebody"]
