"""/imagine, /mix and /help through Discord, as members use them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bot.app import PhotoMakerBot
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.presets.aspect_ratios import ASPECTS
from photomaker_core.presets.styles import STYLES
from tests.support.server import Server, settings, upload
from tests.support.tiny_model import NEWTON

TALLEST = next(iter(ASPECTS))
SEED = re.compile(r"seed `(\d+)`")


async def pixels(reply: object, index: int = 0) -> np.ndarray:
    picture = Image.open(io.BytesIO(await reply.attachments[index].read()))  # type: ignore[attr-defined]
    return np.asarray(picture.convert("RGB"))


async def test_the_main_job_on_real_photos(server: Server) -> None:
    await server.add(server.ada, "newton", *[(path.name, path.read_bytes()) for path in NEWTON])
    await server.add(server.ada, "lenna", upload(5))
    drawn = await server.command(server.ada, "imagine", prompt="a man img in a red hat", identity="newton")
    assert not drawn.ephemeral
    assert drawn.content.startswith("“a man img in a red hat”\n⁨**newton**⁩ · seed `")
    assert [file.content_type for file in drawn.attachments] == ["image/png"]
    assert (await pixels(drawn)).shape == (128, 128, 3)
    mixed = await server.command(server.ada, "mix", id1="newton", id2="lenna", prompt="a person img", balance=70)
    assert "⁨**newton**⁩ 70% + ⁨**lenna**⁩ 30%" in mixed.content
    assert len(mixed.attachments) == 1


async def test_a_seed_gives_the_picture_again_and_identities_differ(server: Server) -> None:
    await server.add(server.ada, "one", upload(1))
    await server.add(server.ada, "two", upload(2))
    how = {"prompt": "a man img", "steps": 4}
    first = await server.command(server.ada, "imagine", identity="one", **how)
    seed = int(SEED.search(first.content).group(1))  # type: ignore[union-attr]
    again = await server.command(server.ada, "imagine", identity="one", seed=seed, **how)
    other = await server.command(server.ada, "imagine", identity="two", seed=seed, **how)
    assert np.array_equal(await pixels(first), await pixels(again))
    assert not np.array_equal(await pixels(first), await pixels(other))


async def test_every_option_acts_and_is_reported(server: Server) -> None:
    await server.add(server.ada, "newton")
    reply = await server.command(
        server.ada,
        "imagine",
        prompt="a man img",
        identity="newton",
        style="Cinematic",
        aspect=TALLEST,
        steps=5,
        guidance=2.5,
        seed=7,
        count=3,
        negative="hats",
    )
    width, height = ASPECTS[TALLEST].size_for(128)
    assert [(await pixels(reply, index)).shape for index in range(3)] == [(height, width, 3)] * 3
    for part in ("seeds `7` to `9`", "5 steps", "guidance 2.5", TALLEST, "Cinematic", "without hats"):
        assert part in reply.content
    single = await server.command(
        server.ada, "imagine", prompt="a man img", seed=8, style="Cinematic", aspect=TALLEST, steps=5,
        guidance=2.5, negative="hats",
    )  # fmt: skip
    assert np.abs((await pixels(single)).astype(int) - (await pixels(reply, 1))).max() <= 1


async def test_the_identity_added_last_is_drawn_when_none_is_named(server: Server) -> None:
    await server.add(server.ada, "first")
    await server.add(server.ada, "second", upload(2))
    assert "**second**" in (await server.command(server.ada, "imagine", prompt="a man img")).content


async def test_a_missing_trigger_is_inserted_and_told(server: Server) -> None:
    await server.add(server.ada, "newton")
    reply = await server.command(server.ada, "imagine", prompt="an old woman in a red hat")
    assert "“an old woman img in a red hat”" in reply.content
    assert "I put the trigger word `img` after the word for the person" in reply.content
    told = await server.command(server.ada, "imagine", prompt="a man img in a red hat")
    assert "I put the trigger word" not in told.content


async def test_words_that_the_model_cannot_see_are_told(server: Server) -> None:
    await server.add(server.ada, "newton", upload(1), upload(2))
    prompt = "a man img " + "a b c " * 110 + "under a red umbrella"
    reply = await server.command(server.ada, "imagine", prompt=prompt)
    assert re.search(r"The prompt is too long; the model did not see: “.*a red umbrella”", reply.content)
    assert len(reply.attachments) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": " "}, "The prompt is empty"),
        ({"prompt": "a red house"}, "does not say who is in the picture"),
        ({"prompt": "a man img and a woman img"}, "“img” 2 times"),
        ({"prompt": "a man img " * 5}, "“img” 5 times; up to 3 people can be in a picture"),
        ({"prompt": "img of a castle"}, "needs a word for the person before it"),
        ({"prompt": "a man img " + "x" * 1000}, "1010 characters long; at most 1000"),
        ({"prompt": "a (man:9) img"}, "A weight in the prompt must be between 0 and 3; 9 is not"),
        ({"negative": "(rain:1e9)"}, "A weight in the prompt must be between 0 and 3; 1e+09 is not"),
        ({"negative": "x" * 1001}, "The negative prompt is 1001 characters long; at most 1000"),
        ({"prompt": "a b " * 160 + "a man img"}, "within the first 300 tokens"),
        ({"identity": "nobody"}, "You have no identity called “nobody”"),
        ({"seed": -1}, "The seed must be between 0 and 2147483647; -1 is not"),
        ({"seed": 2**31}, "The seed must be between"),
        ({"count": 0}, "The number of pictures must be between 1 and 4; 0 is not"),
        ({"count": 99}, "The number of pictures must be between 1 and 4; 99 is not"),
        ({"steps": 0}, "Steps must be between 1 and 100; 0 is not"),
        ({"steps": 9999}, "Steps must be between 1 and 100"),
        ({"guidance": -0.5}, "Guidance must be between 0 and 20"),
    ],
    ids=str,
)
async def test_what_cannot_be_drawn_is_explained(server: Server, options: dict[str, object], sentence: str) -> None:
    await server.add(server.ada, "newton")
    reply = await server.command(server.ada, "imagine", **{"prompt": "a man img", **options})
    assert sentence in reply.content
    assert reply.attachments == []
    assert len((await server.command(server.ada, "imagine", prompt="a man img")).attachments) == 1


async def test_the_first_command_of_a_new_member_says_what_to_do(server: Server) -> None:
    reply = await server.command(server.ada, "imagine", prompt="a man img")
    assert "You have no identity yet. Add one first: /identity add" in reply.content


async def test_styles_and_aspects_are_offered_as_choices(server: Server) -> None:
    imagine = next(one for one in server.bot.tree.get_commands() if one.name == "imagine")
    options = {option.name: [choice.value for choice in option.choices] for option in imagine.parameters}  # type: ignore[union-attr]
    assert options["style"] == list(STYLES)
    assert options["aspect"] == list(ASPECTS)
    assert all(len(values) <= 25 for values in options.values())


async def test_a_long_prompt_full_of_markdown_fits_the_reply(server: Server) -> None:
    await server.add(server.ada, "newton")
    reply = await server.command(
        server.ada, "imagine", prompt="a man img " + "*_`" * 330, negative="~|" * 400, style="Cinematic"
    )
    assert len(reply.attachments) == 1
    assert len(reply.content) <= 2000


async def test_nobody_is_mentioned_by_a_prompt(server: Server) -> None:
    await server.add(server.ada, "newton")
    reply = await server.command(server.ada, "imagine", prompt=f"a man img @everyone {server.bob.mention}")
    assert reply.message.mentions == []
    assert not reply.message.mention_everyone


async def test_pictures_say_that_an_ai_made_them(server: Server) -> None:
    await server.add(server.ada, "newton")
    reply = await server.command(server.ada, "imagine", prompt="a man img")
    assert b"trainedAlgorithmicMedia" in await reply.attachments[0].read()


async def test_a_member_who_deletes_the_identity_while_waiting_is_told(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    await server.add(server.ada, "newton")
    result = await server.ada.slash(server.channel, "imagine", prompt="a man img", steps=40)
    await server.command(server.ada, "identity delete", name="newton")
    await server.quiet()
    assert result.response is not None
    assert len(result.response.attachments) == 1
    gone = await server.command(server.ada, "imagine", prompt="a man img", identity="newton")
    assert "no identity called" in gone.content


async def test_two_members_draw_at_the_same_time(server: Server) -> None:
    await server.add(server.ada, "one", upload(1))
    await server.add(server.bob, "two", upload(2))
    results = [
        await member.slash(server.channel, "imagine", prompt="a man img", steps=10, seed=3)
        for member in (server.ada, server.bob)
    ]
    await server.quiet()
    replies = [result.response for result in results]
    assert all(reply is not None and len(reply.attachments) == 1 for reply in replies)
    assert not np.array_equal(await pixels(replies[0]), await pixels(replies[1]))


async def test_the_operators_limits_hold(server: Server, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    await server.add(server.ada, "newton")
    await server.restart(PhotoMakerBot(settings(tmp_path, max_pictures=1, max_steps=5), load=lambda: tiny_model))
    for options, sentence in (({"count": 2}, "between 1 and 1"), ({"steps": 6}, "between 1 and 5")):
        assert sentence in (await server.command(server.ada, "imagine", prompt="a man img", **options)).content
