"""Trigger word, class word and the stack of ID tokens in the prompt."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from photomaker_core.conditioning.prompt_tokens import identity_prompt, place_trigger, text_only_prompt, without_trigger
from photomaker_core.conditioning.stacking import stack_identity
from photomaker_core.errors import PromptError
from photomaker_core.loading.photomaker import PhotoMaker

VOCABULARY = "a man woman boy walking by the sea in red hat, cinematic photo of old town"
WORDS = st.sampled_from(VOCABULARY.split(" "))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a man img in a red hat", "a man img in a red hat"),
        ("a man in a red hat", "a man img in a red hat"),
        ("Two dogs and a Woman.", "Two dogs and a Woman img."),
        ("  a   girl\n img  ", "a girl img"),
        ("a snowman and a boy", "a snowman and a boy img"),
    ],
)
def test_a_missing_trigger_goes_behind_the_class_word(prompt: str, expected: str) -> None:
    placed = place_trigger(prompt)
    assert placed.text == expected
    assert placed.trigger_inserted == ("img" not in prompt)


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a man img and a woman img", "2 times"),
        ("img of a man", "before it"),
        ("a red house by the sea", "does not say who"),
        ("an image of a chair", "does not say who"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_explained(prompt: str, part: str) -> None:
    with pytest.raises(PromptError, match=part):
        place_trigger(prompt)


@given(before=st.lists(WORDS, max_size=60), after=st.lists(WORDS, max_size=60), count=st.integers(1, 16))
def test_the_class_token_is_repeated_for_every_id_token(
    tiny_model: PhotoMaker, before: list[str], after: list[str], count: int
) -> None:
    tokenizer = tiny_model.base.text.tokenizers[0]
    prompt = " ".join([*before, "man img", *after])
    try:
        expanded = identity_prompt(tokenizer, prompt, "img", count)
    except PromptError:
        assert len(tokenizer(" ".join(before)).input_ids) + count > 70
        return
    assert len(expanded.input_ids) == 77
    assert len(expanded.class_tokens) == count
    man = tokenizer("man", add_special_tokens=False).input_ids
    assert [expanded.input_ids[place] for place in expanded.class_tokens] == man * count
    assert tokenizer.convert_tokens_to_ids("img") not in expanded.input_ids


def test_words_that_fall_out_of_a_long_prompt_are_named(tiny_model: PhotoMaker) -> None:
    prompt = "a man img " + "in the sea " * 24 + "under a red umbrella"
    expanded = identity_prompt(tiny_model.base.text.tokenizers[0], prompt, "img", 4)
    assert expanded.dropped_text.endswith("under a red umbrella")
    assert identity_prompt(tiny_model.base.text.tokenizers[0], "a man img", "img", 4).dropped_text == ""


def test_a_person_named_too_late_is_explained(tiny_model: PhotoMaker) -> None:
    prompt = "in the sea " * 24 + "a man img"
    with pytest.raises(PromptError, match=r"too late|first 75 tokens"):
        identity_prompt(tiny_model.base.text.tokenizers[0], prompt, "img", 4)


def test_a_class_word_of_several_tokens_is_replaced_by_its_last(tiny_model: PhotoMaker) -> None:
    tokenizer = tiny_model.base.text.tokenizers[0]
    pieces = tokenizer("zookeeper", add_special_tokens=False).input_ids
    assert len(pieces) > 1
    expanded = identity_prompt(tokenizer, "a zookeeper img", "img", 3)
    assert expanded.input_ids[2 : 2 + len(pieces) + 2] == [*pieces, pieces[-1], pieces[-1]]
    assert expanded.class_tokens == range(1 + len(pieces), 4 + len(pieces))


def test_the_trigger_is_a_word_and_no_part_of_one(tiny_model: PhotoMaker) -> None:
    tokenizer = tiny_model.base.text.tokenizers[0]
    assert tokenizer.convert_tokens_to_ids("img") not in tokenizer("an imgur picture").input_ids
    assert without_trigger("a man img, imgur") == "a man , imgur"


def test_the_text_only_prompt_is_the_first_tokenizers_reading(tiny_model: PhotoMaker) -> None:
    assert text_only_prompt(tiny_model.base.text.tokenizers[0], "Sci-fi, a man img", "img") == "sci - fi , a man"


def test_more_photos_than_places_is_explained(tiny_model: PhotoMaker) -> None:
    with pytest.raises(PromptError, match="80 ID tokens"):
        stack_identity(tiny_model.base.text, tiny_model.id_encoder, "a man img", "img", torch.zeros(80, 1, 256))
