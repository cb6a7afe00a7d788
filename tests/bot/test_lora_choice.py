"""What members type for LoRAs: names and weights, in any order, and what is said to everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.draw_request import DrawRequest
from bot.domain.lora_choice import USUAL_WEIGHT, chosen_loras, lora_text, suggested_loras
from photomaker_core.errors import SettingsError
from tests.support.draw_requests import asked

KNOWN = (
    "papercut",
    "ink",
    "Paper Cut v1.5",
    "Paper",
    "a:b",
    "ink wash",
    "水墨",
    "C++ art",
    "x,y",
    " two  gaps ",
    "Ink",
)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", ()),
        ("   ", ()),
        ("papercut", (("papercut", USUAL_WEIGHT),)),
        ("papercut:0.7 ink:0.4", (("ink", 0.4), ("papercut", 0.7))),
        (" INK : 0.4 ,  PaperCut ", (("ink", 0.4), ("papercut", USUAL_WEIGHT))),
        ("Paper Cut v1.5:1, Paper:-1", (("Paper", -1.0), ("Paper Cut v1.5", 1.0))),
        ("ink wash + ink", (("ink", USUAL_WEIGHT), ("ink wash", USUAL_WEIGHT))),
        ("a:b:0.25", (("a:b", 0.25),)),
        ("水墨:1.5", (("水墨", 1.5),)),
        ("C++ art:1 x,y:0.2", (("C++ art", 1.0), ("x,y", 0.2))),
        ("two gaps, Ink:1 ink:0.3", ((" two  gaps ", USUAL_WEIGHT), ("Ink", 1.0), ("ink", 0.3))),
        ("papercut:0,5, ink:-1,25", (("ink", -1.25), ("papercut", 0.5))),
    ],
)
def test_names_and_weights_are_read(typed: str, expected: tuple[tuple[str, float], ...]) -> None:
    assert chosen_loras(typed, KNOWN) == expected


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("papercutt", "Did you mean “papercut”"),
        ("nothing at all", "Unknown LoRA “nothing”. Known are: papercut, ink"),
        ("ink ink:0.3", "named twice"),
        ("ink:", "“” is not"),
        ("ink:strong", "“strong” is not"),
        ("ink:nan", "“nan” is not"),
        ("ink:inf", "“inf” is not"),
        ("ink:2.1", "from -2 to 2"),
        ("papercut ink Paper a:b 水墨", "At most 4 LoRAs"),
        (":0.5", "Unknown LoRA"),
        ("ink:0.5:0.5", "“0.5:0.5” is not"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(typed: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        chosen_loras(typed, KNOWN)


def test_where_none_is_loaded_it_is_said() -> None:
    assert chosen_loras("", ()) == ()
    with pytest.raises(SettingsError, match="None is loaded here"):
        chosen_loras("ink", ())


@given(st.lists(st.sampled_from(KNOWN), max_size=4, unique=True), st.data())
def test_a_choice_can_be_typed_again(names: list[str], data: st.DataObject) -> None:
    weights = [data.draw(st.floats(-2, 2)) for _ in names]
    choice = tuple(sorted(zip(names, weights, strict=True)))
    assert chosen_loras(lora_text(choice), KNOWN) == choice


@given(st.text(max_size=60))
def test_nothing_that_is_typed_breaks_it(typed: str) -> None:
    try:
        choice = chosen_loras(typed, KNOWN)
    except SettingsError:
        choice = ()
    assert chosen_loras(lora_text(choice), KNOWN) == choice
    for suggestion in suggested_loras(typed, KNOWN):
        assert chosen_loras(suggestion, KNOWN)


def test_suggestions_go_on_from_what_stands() -> None:
    assert suggested_loras("", KNOWN) == list(KNOWN)
    assert suggested_loras("pap", KNOWN) == ["papercut", "Paper Cut v1.5", "Paper"]
    assert suggested_loras("ink:0.4 pap", KNOWN) == ["ink:0.4 papercut", "ink:0.4 Paper Cut v1.5", "ink:0.4 Paper"]
    assert suggested_loras("nothing x", KNOWN) == []
    assert suggested_loras("ink " * 1500, KNOWN) == []


def test_a_request_of_before_keeps_its_one_lora() -> None:
    content = asked().to_json() | {"version": 2, "lora": "papercut"}
    del content["loras"]
    assert DrawRequest.from_json(content).loras == (("papercut", 0.5),)
    assert DrawRequest.from_json(content | {"lora": None}).loras == ()
    new = asked(lora="papercut")
    assert DrawRequest.from_json(new.to_json()) == new
