"""/edit, /reality, /prompt, /mix of four, qualities, and the buttons that rework a picture."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path

import discord
import pytest
from PIL import Image

from bot.app import PhotoMakerBot
from bot.cogs.edit import edited_prompt
from bot.cogs.mix import shares_of
from photomaker_core.errors import PromptError, SettingsError
from photomaker_core.loading.photomaker import PhotoMaker
from tests.conftest import GOLDEN, TINY_ADAPTER, TINY_BASE
from tests.server import FICTION, Server, settings, upload
from tests.test_job_buttons import click, drawn, says
from tests.test_jobs import rows


async def size(reply: object, index: int = 0) -> tuple[int, int]:
    return Image.open(io.BytesIO(await reply.attachments[index].read())).size  # type: ignore[attr-defined]


async def test_edit_composes_the_prompt_from_choices(studio: Server) -> None:
    await studio.add(studio.ada, "newton")
    reply = await studio.command(
        studio.ada, "edit", who="man", age="old", hair="white", beard="full beard", background="at the beach"
    )
    assert "“a photo of a man img, old, with white hair, with a beard, at the beach”" in reply.content
    assert len(reply.attachments) == 1
    assert "Choose at least one" in (await studio.command(studio.ada, "edit")).content


def test_every_choice_of_edit_is_in_the_prompt() -> None:
    text = edited_prompt(
        "girl", age="child", hair="blue", beard="none", glasses="none", hat="none", expression="neutral",
        clothing=" a red dress ",
    )  # fmt: skip
    assert text == (
        "a photo of a girl img, as a child, with blue hair, clean shaven, without glasses, bareheaded, "
        "with a neutral face, wearing a red dress"
    )
    text = edited_prompt("man", glasses="sunglasses", hat="cap", expression="laughing")
    assert text == "a photo of a man img, wearing sunglasses, wearing a cap, laughing"
    with pytest.raises(PromptError):
        edited_prompt("man", clothing="  ")


async def test_reality_asks_for_a_photograph(studio: Server) -> None:
    await studio.add(studio.ada, "statue")
    reply = await studio.command(studio.ada, "reality", who="woman", seed=3)
    assert "a photo of a woman img" in reply.content
    assert "Photographic" in reply.content
    assert "without painting" in reply.content


async def test_prompts_are_kept_listed_used_and_deleted(studio: Server) -> None:
    assert "keep no prompt yet" in (await studio.command(studio.ada, "prompt list")).content
    assert "Kept" in (await studio.command(studio.ada, "prompt save", name="hat", prompt="a man img in a hat")).content
    assert "Replaced" in (await studio.command(studio.ada, "prompt save", name="Hat", prompt="a man in a hat")).content
    assert "a man in a hat" in (await studio.command(studio.ada, "prompt list")).content
    assert (
        "who is in the picture" in (await studio.command(studio.ada, "prompt save", name="x", prompt="a tree")).content
    )
    (choice,) = await studio.ada.autocomplete(studio.channel, "prompt use", "name", "HA")
    assert choice["value"] == "Hat"
    await studio.add(studio.ada, "newton")
    reply = await studio.command(studio.ada, "prompt use", name="hat", count=2)
    assert len(reply.attachments) == 2
    assert "no prompt called" in (await studio.command(studio.bob, "prompt use", name="hat")).content
    assert "no prompt called" in (await studio.command(studio.bob, "prompt delete", name="hat")).content
    assert "Deleted" in (await studio.command(studio.ada, "prompt delete", name="hat")).content


async def test_a_mix_of_four_with_weights(studio: Server) -> None:
    for number, name in enumerate("abcd"):
        await studio.add(studio.ada, name, upload(number))
    reply = await studio.command(studio.ada, "mix", id1="a", id2="b", id3="c", id4="d", weights="40 30 20 10")
    assert "⁨**a**⁩ 40% + ⁨**b**⁩ 30% + ⁨**c**⁩ 20% + ⁨**d**⁩ 10%" in reply.content
    assert len(reply.attachments) == 1
    twice = await studio.command(studio.ada, "mix", id1="a", id2="b", id3="a")
    assert "different people" in twice.content


@pytest.mark.parametrize(
    ("people", "balance", "weights", "shares"),
    [
        (2, None, None, [0.5, 0.5]),
        (2, 70, None, [0.7, 0.3]),
        (3, None, "50%, 30%, 20%", [0.5, 0.3, 0.2]),
        (2, None, "1 3", [0.25, 0.75]),
    ],
)
def test_shares(people: int, balance: int | None, weights: str | None, shares: list[float]) -> None:
    assert shares_of(people, balance, weights) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("people", "balance", "weights"),
    [(2, 101, None), (3, 50, None), (2, None, "1"), (2, None, "a b"), (2, None, "0 0"), (2, None, "-1 2"),
     (2, None, "nan 1"), (2, None, "inf 1")],
)  # fmt: skip
def test_shares_that_make_no_sense(people: int, balance: int | None, weights: str | None) -> None:
    with pytest.raises(SettingsError):
        shares_of(people, balance, weights)


async def test_quality_sets_the_steps_and_preferences_are_taken(studio: Server) -> None:
    await studio.add(studio.ada, "newton")
    fast = await studio.command(studio.ada, "imagine", prompt="a man img", quality="fast", seed=1)
    assert "quality: fast" in fast.content
    normal = await studio.command(studio.ada, "imagine", prompt="a man img", seed=1)
    assert await fast.attachments[0].read() != await normal.attachments[0].read()
    told = await studio.command(studio.ada, "settings", quality="best", style="Cinematic", aspect="5:6 portrait")
    assert "Quality: best" in told.content
    best = await studio.command(studio.ada, "imagine", prompt="a man img")
    assert "5 steps" in best.content
    assert "Cinematic" in best.content
    assert "Style: None" in (await studio.command(studio.ada, "settings", reset=True)).content
    assert "Cinematic" not in (await studio.command(studio.ada, "imagine", prompt="a man img")).content


async def test_turbo_draws_with_the_distilled_lora(studio: Server, tmp_path: Path) -> None:
    await studio.add(studio.ada, "newton")
    refused = await studio.command(studio.ada, "imagine", prompt="a man img", quality="turbo")
    assert "There is no turbo here" in refused.content
    lora = {"photomaker_turbo_lora": GOLDEN / "style.safetensors", "turbo_steps": 2}
    tiny = {"photomaker_base": str(TINY_BASE), "photomaker_adapter": TINY_ADAPTER}
    await studio.restart(PhotoMakerBot(settings(tmp_path, **lora, **tiny)))
    turbo = await studio.command(studio.ada, "imagine", prompt="a man img", quality="turbo", seed=1)
    assert "2 steps · guidance 1" in turbo.content
    assert "quality: turbo" in turbo.content
    plain = await studio.command(studio.ada, "imagine", prompt="a man img", steps=2, guidance=1.0, seed=1)
    assert await turbo.attachments[0].read() != await plain.attachments[0].read()
    assert studio.bot.gpu.loaded.result().style_loras == ["turbo"]


async def test_a_style_lora_is_drawn_with_and_may_be_forbidden_on_a_server(studio: Server, tmp_path: Path) -> None:
    await studio.add(studio.ada, "newton")
    loras = {"photomaker_style_loras": {"papercut": str(GOLDEN / "style.safetensors")}}
    tiny = {"photomaker_base": str(TINY_BASE), "photomaker_adapter": TINY_ADAPTER}
    await studio.restart(PhotoMakerBot(settings(tmp_path, **loras, **tiny)))
    guild = studio.env.guild
    role = guild.create_role("chief", permissions=discord.Permissions(manage_guild=True))
    chief = guild.add_member(studio.env.create_user("chief"), roles=[role])
    with_it = await studio.command(studio.ada, "imagine", prompt="a man img", lora="papercut")
    assert "LoRA papercut" in with_it.content
    assert "papercut" in str((await studio.command(studio.ada, "style")).components)
    assert "/style shows what there is" in (await studio.command(chief, "admin lora", name="nothing")).content
    assert "Forbidden LoRAs: papercut" in (await studio.command(chief, "admin lora", name="papercut")).content
    refused = await studio.command(studio.ada, "imagine", prompt="a man img", lora="papercut")
    assert "“papercut” is not allowed on this server" in refused.content
    assert "Forbidden LoRAs: none" in (await studio.command(chief, "admin lora", name="papercut")).content


async def test_a_picture_is_upscaled_and_varied(studio: Server, tmp_path: Path) -> None:
    first = await drawn(studio, steps=10)
    for label, sentence in (("Upscale", "30% drawn anew · 1.5 times as large"), ("Vary a little", "45% drawn anew")):
        result = await click(studio, studio.ada, first, label)
        assert result.response is not None
        assert sentence in result.response.content
        assert await size(result.response) == ((192, 192) if label == "Upscale" else (128, 128))
    assert rows(tmp_path, "SELECT count(*) FROM jobs WHERE source IS NOT NULL") == [(0,)]
    again = await click(studio, studio.ada, result.response, "Again")
    assert again.response is not None
    assert "drawn anew" not in again.response.content
    assert "only they can do that" in says(await click(studio, studio.bob, first, "Upscale"))


async def test_one_of_several_is_varied_by_the_menu(studio: Server) -> None:
    several = await drawn(studio, steps=10, count=2)
    result = await studio.ada.select(several, ["strong:1"])
    await studio.quiet()
    assert result.response is not None
    assert "75% drawn anew" in result.response.content
    assert len(result.response.attachments) == 1
    refused = await studio.bob.select(several, ["subtle:0"])
    assert "only they can do that" in says(refused)


async def test_a_variation_survives_a_restart(studio: Server, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    first = await drawn(studio)
    source = await first.attachments[0].read()
    await studio.bot.close()
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        connection.execute("DELETE FROM results")
        connection.execute("UPDATE jobs SET state = 'queued', source = ?, interaction_token = NULL", (source,))
    await studio.env.restart_bot(bot := PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))
    studio.bot = bot
    await studio.quiet()
    assert rows(tmp_path, "SELECT state, source FROM jobs") == [("done", None)]


async def test_more_like_the_person_and_more_style(studio: Server) -> None:
    first = await drawn(studio)
    person = await click(studio, studio.ada, first, "More like them")
    assert person.response is not None
    assert "style strength 10 %" in person.response.content
    assert "seed `4`" in person.response.content
    style = await click(studio, studio.ada, first, "More style")
    assert style.response is not None
    assert "style strength 35 %" in style.response.content
    none = await click(studio, studio.ada, person.response, "More like them")
    assert none.response is not None
    assert "cannot go further" in says(await click(studio, studio.ada, none.response, "More like them"))


async def test_a_picture_is_sent_as_a_direct_message(studio: Server) -> None:
    first = await drawn(studio, count=2)
    assert "Sent." in says(await click(studio, studio.ada, first, "Send me"))
    assert "only they can do that" in says(await click(studio, studio.bob, first, "Send me"))


async def test_anybody_keeps_a_prompt(studio: Server) -> None:
    first = await drawn(studio)
    shown = await studio.bob.click(first, label="Keep prompt")
    result = await studio.bob.submit_modal(shown, {"name": "nice", "prompt": "a man img in the sea"})
    assert "Kept the prompt" in says(result)
    assert "in the sea" in (await studio.command(studio.bob, "prompt list")).content


async def test_the_examples_of_help_can_be_clicked(studio: Server, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    shown = await studio.command(studio.ada, "help")
    assert "no identity yet" in says(await click(studio, studio.ada, shown, "Draw them in a red hat"))
    for number, name in enumerate(("newton", "lenna")):
        form = await studio.ada.click(shown, label="Add a person")
        result = await studio.ada.submit_modal(form, {"name": name, "consent": [FICTION], "photos": [upload(number)]})
        assert f"Added ⁨**{name}**⁩" in says(result)
        if name == "newton":
            assert "two people" in says(await click(studio, studio.ada, shown, "Mix my last two people"))
    await studio.restart(PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))
    drawn_ = await click(studio, studio.ada, shown, "Draw them in a red hat")
    assert drawn_.response is not None
    assert "⁨**lenna**⁩" in drawn_.response.content
    mixed = await click(studio, studio.ada, shown, "Mix my last two people")
    assert mixed.response is not None
    assert "⁨**newton**⁩ 50% + ⁨**lenna**⁩ 50%" in mixed.response.content
