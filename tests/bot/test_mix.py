"""Tests of ``/mix``."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from bot.cogs.mix import shares_of
from photomaker_core.errors import SettingsError
from tests.support.server import Server, upload


async def test_a_mix_of_four_with_weights(server: Server) -> None:
    for number, name in enumerate("abcd"):
        await server.add(server.ada, name, upload(number))
    reply = await server.command(server.ada, "mix", id1="a", id2="b", id3="c", id4="d", weights="40 30 20 10")
    assert "⁨**a**⁩ 40% + ⁨**b**⁩ 30% + ⁨**c**⁩ 20% + ⁨**d**⁩ 10%" in reply.content
    assert len(reply.attachments) == 1
    twice = await server.command(server.ada, "mix", id1="a", id2="b", id3="a")
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
     (2, None, "nan 1"), (2, None, "inf 1"), (2, None, "1e308 1e308")],
)  # fmt: skip
def test_shares_that_make_no_sense(people: int, balance: int | None, weights: str | None) -> None:
    with pytest.raises(SettingsError):
        shares_of(people, balance, weights)


SEED = re.compile(r"seed `(\d+)`")


async def pixels(reply: object, index: int = 0) -> np.ndarray:
    picture = Image.open(io.BytesIO(await reply.attachments[index].read()))  # type: ignore[attr-defined]
    return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"id2": "nobody"}, "no identity called “nobody”"),
        ({"id2": "ONE"}, "needs different people"),
        ({"balance": 101}, "between 0 and 100 percent; 101 is not"),
        ({"balance": -1}, "between 0 and 100 percent; -1 is not"),
        ({"prompt": "a house"}, "does not say who"),
    ],
    ids=str,
)
async def test_what_cannot_be_mixed_is_explained(server: Server, options: dict[str, object], sentence: str) -> None:
    await server.add(server.ada, "one", upload(1))
    await server.add(server.ada, "two", upload(2))
    reply = await server.command(server.ada, "mix", **{"id1": "one", "id2": "two", **options})
    assert sentence in reply.content
    assert reply.attachments == []


async def test_a_mix_at_either_end_is_that_person_alone(server: Server) -> None:
    await server.add(server.ada, "one", upload(1))
    await server.add(server.ada, "two", upload(2))
    for balance, name in ((100, "one"), (0, "two")):
        reply = await server.command(server.ada, "mix", id1="one", id2="two", prompt="a man img", balance=balance)
        seed = int(SEED.search(reply.content).group(1))  # type: ignore[union-attr]
        alone = await server.command(server.ada, "imagine", prompt="a man img", identity=name, seed=seed)
        assert np.array_equal(await pixels(reply), await pixels(alone))
