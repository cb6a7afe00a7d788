"""Tests of the text that members type: its normal form, how it is compared, and how it is shown."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.identity_names import IdentityNameError, checked_name, shown
from bot.domain.member_text import (
    block_quote,
    bold,
    cleaned,
    cleaned_lines,
    code_span,
    escaped,
    first_word_in,
    folded,
    quoted,
)
from bot.presentation.errors import sentence_for
from photomaker_core.errors import UserError

INVISIBLE = ["\u200b", "\u200d", "\u00ad", "\u2060", "\ufe0f", "\u3164", "\uffa0", "\u2800", "\u034f", "\U000e0041"]
BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066\u2067\u200e\u200f]")
typed = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.text(
    alphabet="`*_~|[]()<>@#-\\/: \n\u200d\u202e.ahtps1", max_size=80
)


@pytest.mark.parametrize("name", [*INVISIBLE, "\u200d\u200d", "\u3164 \u2800", "\u2800\u2800\u2800"])
def test_a_name_that_shows_nothing_is_refused(name: str) -> None:
    with pytest.raises(IdentityNameError):
        checked_name(name)


@pytest.mark.parametrize("hidden", ["\u200b", "\u00ad", "\u3164", "\u2800", "\U000e0041", "\u202e"])
def test_a_name_with_hidden_characters_is_refused(hidden: str) -> None:
    with pytest.raises(IdentityNameError):
        checked_name(f"new{hidden}ton")


def test_a_joiner_that_changes_nothing_does_not_make_another_name() -> None:
    assert checked_name("new\u200dton\ufe0f") == "newton"


@pytest.mark.parametrize("name", ["👩‍🚀", "❤️", "1️⃣ one", "❤️‍🔥", "می‌خواهم", "क्‍ष", "🏽‍♀️"])
def test_joiners_and_selectors_stay_where_they_are_seen(name: str) -> None:
    assert checked_name(name) == unicodedata.normalize("NFC", name)


@given(typed)
def test_the_normal_form_is_normal(text: str) -> None:
    assert cleaned(cleaned(text)) == cleaned(text)
    assert "\n" not in cleaned(text)
    assert not BIDI_CONTROLS.search(cleaned(text))


@pytest.mark.parametrize(
    "spelling",
    [
        "nü\u200bde",
        "nu\u0308de",
        "N\u00dcDE",
        "nü\u00adde",
        "\uff4e\u00fc\uff44\uff45",
        "nü\u3164de",
        "nü\u2800d\ufe0fe",
        "nüdе",
    ],
)
def test_a_blocked_word_is_found_however_it_is_spelt(spelling: str) -> None:
    assert first_word_in(["nüde"], ["a man img", f"a {spelling}, at the beach"]) == "nüde"


def test_invisible_characters_between_words_do_not_hide_a_blocked_word() -> None:
    assert first_word_in(["black cat"], ["a black\u200bcat\u200bhere"]) == "black cat"


def test_a_blocked_word_is_a_whole_word() -> None:
    assert first_word_in(["ass"], ["a class with glasses", "Grass"]) is None
    assert first_word_in(["\u200b", "ass"], ["a man"]) is None


@given(typed)
def test_a_blocked_text_is_found_in_itself(text: str) -> None:
    if folded(text):
        assert first_word_in([text], [text]) == text


@given(typed)
def test_shown_text_holds_no_markdown_and_no_links(text: str) -> None:
    line = escaped(text)
    assert "\n" not in line
    for mark in "*_~`|[]":
        outside = re.sub(r"<[^<>\s]+://[^<>\s]+>", "", line)
        assert re.search(rf"(?<!\\)(?:\\\\)*{re.escape(mark)}", outside) is None
    assert re.search(r"(?<!<)\bhttps?://\w", line) is None
    assert re.search(r"@(?:everyone|here|\d{17})", line) is None


@pytest.mark.parametrize("text", ["e\ue000\u0301", "e\u200b\u0301x", "❤\ue000\ufe0fx", "g\ufe0e\U000bf382"])
def test_what_is_left_out_leaves_a_normal_form_behind(text: str) -> None:
    assert cleaned(cleaned(text)) == cleaned(text)
    assert unicodedata.is_normalized("NFC", cleaned(text))


@pytest.mark.parametrize("start", ["# big", "- item", "> quote", ">>> all", "1. first", "-# small"])
def test_shown_text_begins_no_heading_quote_or_list(start: str) -> None:
    assert re.match(r"\\[#>-]|\d+\\\.", escaped(start))


def test_links_show_no_preview() -> None:
    assert escaped("see https://a.example/x_y now") == "see <https://a.example/x_y> now"
    assert escaped("[here](https://a.example)").startswith("\\[here\\](<https://a.example")
    assert escaped("discord.gg/abc") == "discord.gg\\/abc"


@given(typed, st.integers(1, 60))
def test_quotes_keep_to_their_limits(text: str, limit: int) -> None:
    assert len(quoted(text, limit)) <= limit
    block = block_quote(text, limit + 10)
    assert len(block) <= limit + 10
    assert all(line.startswith("> ") for line in block.split("\n"))


def test_every_line_of_a_report_stays_in_the_quote() -> None:
    assert cleaned_lines("one\r\n\u2028 two\u0085three") == ["one", "two", "three"]
    assert block_quote("one\ntwo\u2028@everyone", 100) == "> one\n> two\n> @\u200beveryone"


@pytest.mark.parametrize(
    ("text", "span"),
    [("x", "`x`"), ("a`b", "`` a`b ``"), ("`a", "`` `a ``"), ("a``b", "` a``b `"), ("`a``", "\\`a\\`\\`")],
)
def test_backticks_do_not_end_an_example_command(text: str, span: str) -> None:
    assert code_span(text) == span


def test_right_to_left_text_does_not_turn_its_neighbours() -> None:
    for text in (escaped("إسحاق"), bold("إسحاق"), shown("ada"), quoted("إسحاق" * 100, 50)):
        assert text.count("\u2068") == text.count("\u2069") == 1


def test_values_in_an_error_are_shown_harmless_and_short() -> None:
    told = sentence_for(UserError("Unknown LoRA “{name}”.", name="*bold* https://x.example " + "x" * 5000), "a test")
    assert "\\*bold\\* <https://x.example>" in told
    assert len(told) < 400
    allowed = "<#12345678901234567>, <#12345678901234568>"
    assert allowed in sentence_for(UserError("Only in {channels}.", channels=allowed), "a test")
