"""/edit, /reality, /prompt, /mix of four, qualities, and the buttons that rework a picture."""

from __future__ import annotations

import pytest

from bot.cogs.edit import edited_prompt
from photomaker_core.errors import PromptError
from tests.support.server import Server


async def test_edit_composes_the_prompt_from_choices(server: Server) -> None:
    await server.add(server.ada, "newton")
    reply = await server.command(
        server.ada, "edit", who="man", age="old", hair="white", beard="full beard", background="at the beach"
    )
    assert "“a photo of a man img, old, with white hair, with a beard, at the beach”" in reply.content
    assert len(reply.attachments) == 1
    assert "Choose at least one" in (await server.command(server.ada, "edit")).content


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


async def test_reality_asks_for_a_photograph(server: Server) -> None:
    await server.add(server.ada, "statue")
    reply = await server.command(server.ada, "reality", who="woman", seed=3)
    assert "a photo of a woman img" in reply.content
    assert "Photographic" in reply.content
    assert "without painting" in reply.content
