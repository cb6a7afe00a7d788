"""Tests of style LoRAs and distilled LoRAs in commands."""

from __future__ import annotations

from pathlib import Path

import discord
import simcord

from bot.app import PhotoMakerBot
from tests.support.access_walk import told_by
from tests.support.server import Server, click, settings
from tests.support.text_lora import write_text_lora
from tests.support.tiny_model import GOLDEN, TINY_ADAPTER, TINY_BASE


async def test_turbo_draws_with_the_distilled_lora(server: Server, tmp_path: Path) -> None:
    await server.add(server.ada, "newton")
    refused = await server.command(server.ada, "imagine", prompt="a man img", quality="turbo")
    assert "There is no turbo here" in refused.content
    lora = {"photomaker_turbo_lora": GOLDEN / "style.safetensors", "turbo_steps": 2}
    tiny = {"photomaker_base": str(TINY_BASE), "photomaker_adapter": TINY_ADAPTER}
    await server.restart(PhotoMakerBot(settings(tmp_path, **lora, **tiny)))
    turbo = await server.command(server.ada, "imagine", prompt="a man img", quality="turbo", seed=1)
    assert "2 steps · guidance 1" in turbo.content
    assert "quality: turbo" in turbo.content
    plain = await server.command(server.ada, "imagine", prompt="a man img", steps=2, guidance=1.0, seed=1)
    assert await turbo.attachments[0].read() != await plain.attachments[0].read()
    assert server.bot.gpu.loaded.result().style_loras == ("turbo",)


async def test_a_style_lora_is_drawn_with_and_may_be_forbidden_on_a_server(server: Server, tmp_path: Path) -> None:
    await server.add(server.ada, "newton")
    loras = {"photomaker_style_loras": {"papercut": str(GOLDEN / "style.safetensors")}}
    tiny = {"photomaker_base": str(TINY_BASE), "photomaker_adapter": TINY_ADAPTER}
    await server.restart(PhotoMakerBot(settings(tmp_path, **loras, **tiny)))
    guild = server.env.guild
    role = guild.create_role("chief", permissions=discord.Permissions(manage_guild=True))
    chief = guild.add_member(server.env.create_user("chief"), roles=[role])
    with_it = await server.command(server.ada, "imagine", prompt="a man img", lora="papercut")
    assert "LoRA papercut" in with_it.content
    assert "papercut" in str((await server.command(server.ada, "style")).components)
    assert "/style shows what there is" in (await server.command(chief, "admin lora", name="nothing")).content
    assert "Forbidden LoRAs: papercut" in (await server.command(chief, "admin lora", name="papercut")).content
    refused = await server.command(server.ada, "imagine", prompt="a man img", lora="papercut")
    assert "“papercut” is not allowed on this server" in refused.content
    await _check_a_forbidden_lora(server, chief, with_it)
    assert "Forbidden LoRAs: none" in (await server.command(chief, "admin lora", name="papercut")).content
    await server.restart(PhotoMakerBot(settings(tmp_path, **tiny)))
    withdrawn = await server.command(server.ada, "imagine", prompt="a man img", lora="papercut")
    assert "Unknown LoRA “papercut”" in withdrawn.content
    again = await click(server, server.ada, with_it, "Again")
    assert "“papercut” is not available here any more" in told_by(again)


async def _check_a_forbidden_lora(server: Server, chief: simcord.MemberActor, picture: simcord.ResponseMessage) -> None:
    """It is neither drawn with nor suggested there, is on other servers, and who may not forbid it is told nothing."""
    again = await click(server, server.ada, picture, "Again")
    assert "“papercut” is not allowed on this server" in told_by(again)
    shown = await server.ada.click(picture, label="Change")
    changed = await server.ada.submit_modal(shown, {"prompt": "a man img", "negative": "", "seed": ""})
    await server.quiet()
    assert "“papercut” is not allowed on this server" in told_by(changed)
    assert await server.ada.autocomplete(server.channel, "imagine", "lora", "") == []
    elsewhere = server.env.create_guild("Elsewhere")
    eve = elsewhere.add_member(server.env.create_user("eve"))
    suggested = await eve.autocomplete(elsewhere.create_text_channel("art"), "imagine", "lora", "")
    assert [one["value"] for one in suggested] == ["papercut"]
    (admin,) = (one for one in await server.bot.tree.fetch_commands() if one.name == "admin")
    server.env.guild.set_command_permissions(admin, {server.bob: True, chief: True})
    assert await server.bob.autocomplete(server.channel, "admin lora", "name", "") == []
    assert len(await chief.autocomplete(server.channel, "admin lora", "name", "")) == 1


async def test_several_loras_are_drawn_with_by_their_weights(server: Server, tmp_path: Path) -> None:
    await server.add(server.ada, "newton")
    text_lora = write_text_lora(tmp_path / "ink.safetensors")
    loras = {"Paper Cut v1.5": str(GOLDEN / "style.safetensors"), "ink": str(text_lora)}
    tiny = {"photomaker_base": str(TINY_BASE), "photomaker_adapter": TINY_ADAPTER, "photomaker_style_loras": loras}
    await server.restart(PhotoMakerBot(settings(tmp_path, **tiny)))
    pictures = {}
    for typed in (None, "paper cut v1.5:0.7", "ink:0.4", "ink:0.4 Paper Cut v1.5:0.7", "Paper Cut v1.5:0.7, ink:0.4"):
        options = {} if typed is None else {"lora": typed}
        reply = await server.command(server.ada, "imagine", prompt="a man img", seed=1, steps=2, **options)
        pictures[typed] = await reply.attachments[0].read()
        if typed is not None and "," in typed:
            assert "LoRA Paper Cut v1.5:0.7 ink:0.4" in reply.content
            again = await click(server, server.ada, reply, "Again")
            assert again.response is not None
            assert "LoRA Paper Cut v1.5:0.7 ink:0.4" in again.response.content
            shown = await server.ada.click(reply, label="Change")
            changed = await server.ada.submit_modal(shown, {"prompt": "a man img", "negative": "", "seed": "1"})
            await server.quiet()
            assert changed.response is not None
            assert "LoRA Paper Cut v1.5:0.7 ink:0.4" in changed.response.content
    both = pictures["ink:0.4 Paper Cut v1.5:0.7"]
    assert both == pictures["Paper Cut v1.5:0.7, ink:0.4"], "the order in which they are named says nothing"
    assert len(set(pictures.values())) == 4
    refused = await server.command(server.ada, "imagine", prompt="a man img", lora="ink:0.4 Ynk:1")
    assert "Unknown LoRA “Ynk”. Did you mean “ink”" in refused.content
    rest = await server.ada.autocomplete(server.channel, "imagine", "lora", "ink:0.4 p")
    assert [one["value"] for one in rest] == ["ink:0.4 Paper Cut v1.5"]
