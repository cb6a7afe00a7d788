"""Trigger word, class word and the stack of ID tokens in the prompt."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photomaker_core.conditioning.prompt_tokens import identity_prompt, text_only_prompt, unseen_text
from photomaker_core.conditioning.stacking import stack_identity
from photomaker_core.conditioning.trigger_placement import place_trigger, without_trigger
from photomaker_core.errors import PromptError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models.prompt_tokenizer import PromptTokenizer
from photomaker_core.sampling.step_engine import StepEngine

VOCABULARY = "a man woman boy walking by the sea in red hat, cinematic photo of old town"
WORDS = st.sampled_from(VOCABULARY.split(" "))


ODD_TEXT = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.sampled_from(
            [
                "img",
                "IMG",
                "Img",
                "man",
                "a",
                ", ",
                "(",
                ")",
                '"',
                "IMG_1.jpg",
                "img2img",
                "🎩",
                "<|endoftext|>",
                "\ud800",
            ]
        ),
    ),
    max_size=12,
).map(" ".join)


@given(prompt=ODD_TEXT)
def test_placing_a_trigger_twice_changes_nothing(prompt: str) -> None:
    try:
        placed = place_trigger(prompt)
    except PromptError:
        return
    assert place_trigger(placed.text).text == placed.text
    assert not place_trigger(placed.text).trigger_inserted
    assert place_trigger(placed.text).class_word == placed.class_word
    assert "img" not in without_trigger(placed.text).split(" ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=ODD_TEXT, negative=ODD_TEXT, trigger=st.one_of(st.just("img"), st.text(min_size=1, max_size=5)))
def test_whatever_is_typed_no_id_is_beyond_the_embedding_table(
    tiny_model: PhotoMaker, prompt: str, negative: str, trigger: str
) -> None:
    """An id without an embedding is an IndexError on a CPU, and on CUDA the end of the process."""
    text, encoder = tiny_model.base.text, tiny_model.id_encoder
    tables = [one.config.vocab_size for one in text.encoders]
    for typed in (prompt, negative):
        for ids, rows in zip(text.token_ids([typed]), tables, strict=True):
            assert ids.shape == (1, 77)
            assert 0 <= ids.min() <= ids.max() < rows
    if not trigger.strip():
        return
    for typed in (prompt, f"a man {trigger} {prompt}"):
        try:
            stacked = stack_identity(text, encoder, typed, trigger, torch.zeros(2, 1, 256))
        except PromptError:
            continue
        for expanded, rows in zip(stacked.prompts, tables, strict=True):
            assert len(expanded.input_ids) == 77
            assert 0 <= min(expanded.input_ids) <= max(expanded.input_ids) < rows


@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        ("a man img", "img"),
        ("a man img", "bad IMG, img"),
        ("a man Img", None),
        ("IMG", None),
        ("a man img, IMG_1234.jpg", "img2img"),
        ("a man", "IMG"),
    ],
)
def test_a_trigger_may_be_typed_anywhere(tiny_model: PhotoMaker, prompt: str, negative: str | None) -> None:
    engine, features = StepEngine(tiny_model), torch.zeros(1, 1, 256)
    assert engine.condition(prompt, negative, None).text.tokens.isfinite().all()
    if prompt != "IMG":
        conditioning = engine.condition(prompt, negative, features)
        assert torch.equal(conditioning.text.tokens, engine.condition("a man img", None, features).text.tokens) == (
            "jpg" not in prompt
        )


def test_tokens_that_were_added_to_a_saved_tokenizer_are_left_out(tiny_model: PhotoMaker) -> None:
    known = tiny_model.base.text.tokenizers[0]
    grown = copy.deepcopy(known.tokenizer)
    grown.add_tokens(["img", "papercut"], special_tokens=True)
    tokenizer = PromptTokenizer(grown, known.embeddings, known.length)
    assert tokenizer.ids("a papercut img of a man") == known.ids("a of a man")


def test_ids_are_framed_as_the_tokenizers_frame_them(tiny_model: PhotoMaker) -> None:
    for tokenizer in tiny_model.base.text.tokenizers:
        for text in ("", "a man in a red hat!", "in the sea " * 40):
            theirs = tokenizer.tokenizer(text, padding="max_length", truncation=True, max_length=77).input_ids
            assert tokenizer.framed(tokenizer.ids(text)) == theirs


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a man img and a woman img", "2 times"),
        ("img of a castle", "before it"),
        ("a photo of img", "before it"),
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
        assert len(tokenizer.ids(" ".join(before))) + count > 68
        return
    assert len(expanded.input_ids) == 77
    assert len(expanded.class_tokens) == count
    assert [expanded.input_ids[place] for place in expanded.class_tokens] == tokenizer.ids("man") * count
    content = [*tokenizer.ids(" ".join([*before, "man"])), *tokenizer.ids(" ".join(after))]
    dropped = tokenizer.ids(expanded.dropped_text)
    assert content[len(content) - len(dropped) :] == dropped
    seen = [*expanded.input_ids[1 : expanded.class_tokens.start + 1], *expanded.input_ids[expanded.class_tokens.stop :]]
    end = tokenizer.tokenizer.eos_token_id
    assert [token for token in seen if token != end] == content[: len(content) - len(dropped)]


def test_words_that_fall_out_of_a_long_prompt_are_named(tiny_model: PhotoMaker) -> None:
    prompt = "a man img " + "in the sea " * 24 + "under a red umbrella"
    expanded = identity_prompt(tiny_model.base.text.tokenizers[0], prompt, "img", 4)
    assert expanded.dropped_text.endswith("under a red umbrella")
    assert identity_prompt(tiny_model.base.text.tokenizers[0], "a man img", "img", 4).dropped_text == ""


def test_the_end_of_a_long_prompt_without_a_person_is_named_too(tiny_model: PhotoMaker) -> None:
    tokenizer = tiny_model.base.text.tokenizers[0]
    assert unseen_text(tokenizer, "in the sea " * 25) == ""
    assert unseen_text(tokenizer, "in the sea " * 25 + "Under a red hat") == "under a red hat"
    engine = StepEngine(tiny_model)
    assert engine.condition("in the sea " * 25 + "Under a red hat", None, None).dropped_text == ""
    assert engine.condition("in the sea " * 100 + "Under a red hat", None, None).dropped_text == "under a red hat"


def test_a_person_named_too_late_is_explained(tiny_model: PhotoMaker) -> None:
    prompt = "in the sea " * 24 + "a man img"
    with pytest.raises(PromptError, match=r"too late|first 75 tokens"):
        identity_prompt(tiny_model.base.text.tokenizers[0], prompt, "img", 4)


def test_a_class_word_of_several_tokens_is_replaced_by_its_last(tiny_model: PhotoMaker) -> None:
    tokenizer = tiny_model.base.text.tokenizers[0]
    pieces = tokenizer.ids("zookeeper")
    assert len(pieces) > 1
    expanded = identity_prompt(tokenizer, "a zookeeper img", "img", 3)
    assert expanded.input_ids[2 : 2 + len(pieces) + 2] == [*pieces, pieces[-1], pieces[-1]]
    assert expanded.class_tokens == range(1 + len(pieces), 4 + len(pieces))


def test_the_text_only_prompt_is_the_first_tokenizers_reading(tiny_model: PhotoMaker) -> None:
    assert text_only_prompt(tiny_model.base.text.tokenizers[0], "Sci-fi, a man img", "img") == "sci - fi , a man"


def test_more_photos_than_places_is_explained(tiny_model: PhotoMaker) -> None:
    with pytest.raises(PromptError, match="80 ID tokens"):
        stack_identity(tiny_model.base.text, tiny_model.id_encoder, "a man img", "img", torch.zeros(80, 1, 256))
