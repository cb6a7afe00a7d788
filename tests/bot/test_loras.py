"""Tests of style LoRAs and distilled LoRAs in commands."""

from __future__ import annotations

from pathlib import Path

import discord

from bot.app import PhotoMakerBot
from tests.support.server import Server, settings
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
    assert "Forbidden LoRAs: none" in (await server.command(chief, "admin lora", name="papercut")).content
