"""Tests of ``/help``."""

from __future__ import annotations

from pathlib import Path

from bot.app import PhotoMakerBot
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.server import FICTION, Server, click, says, settings, upload


async def test_the_examples_of_help_can_be_clicked(server: Server, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    shown = await server.command(server.ada, "help")
    assert "no identity yet" in says(await click(server, server.ada, shown, "Draw them in a red hat"))
    for number, name in enumerate(("newton", "lenna")):
        form = await server.ada.click(shown, label="Add a person")
        result = await server.ada.submit_modal(form, {"name": name, "consent": [FICTION], "photos": [upload(number)]})
        assert f"Added ⁨**{name}**⁩" in says(result)
        if name == "newton":
            assert "two people" in says(await click(server, server.ada, shown, "Mix my last two people"))
    await server.restart(PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))
    drawn_ = await click(server, server.ada, shown, "Draw them in a red hat")
    assert drawn_.response is not None
    assert "⁨**lenna**⁩" in drawn_.response.content
    mixed = await click(server, server.ada, shown, "Mix my last two people")
    assert mixed.response is not None
    assert "⁨**newton**⁩ 50% + ⁨**lenna**⁩ 50%" in mixed.response.content


async def test_help_is_for_the_member_alone(server: Server) -> None:
    reply = await server.command(server.ada, "help")
    assert reply.ephemeral
    assert "/imagine prompt: a man img in a red hat" in reply.content
