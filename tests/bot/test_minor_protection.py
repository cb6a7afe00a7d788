"""Nothing sexual is drawn with minors: by no command, no button, no kept prompt, in no spelling."""

from __future__ import annotations

import pytest

from bot.domain.minor_protection import check_minors
from photomaker_core.errors import PromptError
from photomaker_core.presets.styles import STYLES
from tests.support.server import Server, drawn, submit

REFUSAL = "nothing sexual with children or teenagers"


@pytest.mark.parametrize(
    "prompt",
    [
        "a nude girl img",
        "a G1RL img, n4ked",
        "a boy img, n.u.d.e",
        "a boy img, n u d e",
        "a gi\u0301rl img, se\u0301xy",
        "a g\u0456rl img, n\u00adude",
        "a \uff47\uff49\uff52\uff4c img, erotic",
        "ein nacktes M\u00e4dchen img",
        "una ni\u00f1a img desnuda",
        "\u88f8\u4f53\u7684\u5c11\u5973 img",
        "a 12 year old person img, topless",
        "a woman img aged 15, naked",
        "a 17yo woman img, porn",
    ],
)
def test_however_it_is_spelt(prompt: str) -> None:
    with pytest.raises(PromptError, match=REFUSAL):
        check_minors(prompt)


def test_clothes_taken_away_by_the_negative_prompt() -> None:
    with pytest.raises(PromptError, match=REFUSAL):
        check_minors("a girl img at the beach", "clothes")


@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        ("a girl img in a red hat", "nsfw, nude"),
        ("a nude woman img by Rubens", None),
        ("a 70 year old man img, naked", None),
        ("a kind man img in Essex", None),
        ("a 1950s photo of a boy img", "blurry"),
    ],
)
def test_what_is_none_of_it_passes(prompt: str, negative: str | None) -> None:
    check_minors(prompt, negative)


def test_no_style_makes_a_child_sexual() -> None:
    for style in STYLES.values():
        check_minors(style.apply("a girl img", None)[0])


async def test_every_way_to_a_picture_is_closed_before_the_queue(server: Server) -> None:
    shown = await drawn(server)
    for command, options in (
        ("imagine", {"prompt": "a naked girl img"}),
        ("edit", {"who": "boy", "clothing": "sexy lingerie"}),
        ("edit", {"age": "teenager", "background": "porn set"}),
        ("prompt save", {"name": "it", "prompt": "a naked girl img"}),
    ):
        assert REFUSAL in (await server.command(server.ada, command, **options)).content
    form = await server.ada.click(shown, label="Change")
    assert REFUSAL in await submit(server, form, {"prompt": "a naked girl img", "negative": "", "seed": ""})
    assert await server.bot.job_store.counts() == {"delivered": 1}
