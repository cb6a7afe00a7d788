"""Weights, several people and several chunks of 75 tokens in a prompt."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from photomaker_core.conditioning.prompt_weights import WeightedText, weighted_texts
from photomaker_core.conditioning.stacking import Conditioning, condition, stack_identity
from photomaker_core.errors import PromptError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models.text_encoders import TextEncoders

FEATURES = torch.randn(3, 1, 256, generator=torch.Generator().manual_seed(5))
OTHERS = torch.randn(2, 1, 256, generator=torch.Generator().manual_seed(6))
WORDS = st.sampled_from(
    ["a", "walking", "by", "the", "sea", "in", "red", "hat,", "cinematic", "old", "town", "zookeeper"]
)


def read(
    model: PhotoMaker,
    prompt: str,
    features: Tensor | list[Tensor] | None = FEATURES,
    negative: str | None = None,
    max_chunks: int = 4,
) -> Conditioning:
    return condition(
        model.base.text,
        model.id_encoder,
        prompt,
        negative,
        "img",
        features,
        zeros_for_empty_negative=True,
        max_chunks=max_chunks,
    )


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a (red:1.3) hat", [("a ", 1), ("red", 1.3), (" hat", 1)]),
        ("a ((red)) hat", [("a ", 1), ("red", 1.21), (" hat", 1)]),
        ("a [red] hat", [("a ", 1), ("red", 1 / 1.1), (" hat", 1)]),
        ("(a (red:1.2):1.5) hat", [("a ", 1.5), ("red", 1.8), (" hat", 1)]),
        (r"a \(red\) (hat:0.5)", [("a (red) ", 1), ("hat", 0.5)]),
        (r"\[x\]", [("[x]", 1)]),
        ("a (red: 1.) hat", [("a ", 1), ("red", 1), (" hat", 1)]),
        ("a (hat:0)", [("a ", 1), ("hat", 0)]),
        ("photo(graph:1) of.(red:1)-[x:1]", [("photo", 1), (" graph of.", 1), (" red", 1), (" -[x:1]", 1)]),
    ],
)
def test_weights_are_read_as_automatic1111_writes_them(prompt: str, expected: list[tuple[str, float]]) -> None:
    found = weighted_texts(prompt)
    merged: list[tuple[str, float]] = []
    for text, weight in expected:
        if merged and merged[-1][1] == weight:
            merged[-1] = (merged[-1][0] + text, weight)
        else:
            merged.append((text, weight))
    assert [one.text for one in found] == [text for text, _ in merged]
    assert [one.weight for one in found] == pytest.approx([weight for _, weight in merged])


@pytest.mark.parametrize(
    "prompt",
    ["(hello", "hello)", "()", "( )", "[]", "(:1.2)", "(a:1.2.3)", "(a:1,3)", "[a:b:0.5]", "[a|b]", ":-)", "a ( [ ) ]"],
)
def test_what_is_no_weight_stays_as_it_is_written(prompt: str) -> None:
    assert weighted_texts(prompt) == (WeightedText(prompt),)


@pytest.mark.parametrize("weight", ["3.01", "-1", "nan", "inf", "1e999", "30"])
def test_a_weight_out_of_range_is_explained(tiny_model: PhotoMaker, weight: str) -> None:
    for prompt, negative in ((f"a man img (hat:{weight})", None), ("a man img", f"(hat:{weight})")):
        with pytest.raises(PromptError, match="between 0 and 3"):
            read(tiny_model, prompt, negative=negative)
    with pytest.raises(PromptError, match="between 0 and 3"):
        weighted_texts("((a:2):2)")


@pytest.mark.parametrize("prompt", ["a man img.(red:1) hat", "a man img-(red:1) hat", "a man img.(red:1.2) hat"])
def test_a_weight_beside_a_trigger_does_not_hide_it(tiny_model: PhotoMaker, prompt: str) -> None:
    assert read(tiny_model, prompt, torch.ones(1, 1, 256)).people != ()


@given(prompt=st.text(alphabet="ab ()[]:.1\\", max_size=40))
def test_any_brackets_are_read_or_refused(prompt: str) -> None:
    try:
        texts = weighted_texts(prompt)
    except PromptError:
        return
    assert all(0 <= one.weight <= 3 for one in texts)
    if len(texts) == 1 and texts[0].weight == 1 and not re.search(r"\\[()\[\]]|[(\[]", prompt):
        assert texts[0].text == prompt


def plainly_weighted(text: TextEncoders, words: list[tuple[str, float]]) -> Tensor:
    """Weights by ComfyUI's formula, word by word, for prompts of one chunk."""
    whole = text.encode(" ".join(word for word, _ in words)).tokens.clone()
    empty = text.encode("").tokens
    place = 1
    for word, weight in words:
        for _ in text.tokenizers[0].ids(word):
            whole[0, place] = empty[0, place] + weight * (whole[0, place] - empty[0, place])
            place += 1
    return whole


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.tuples(WORDS, st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0])), min_size=1, max_size=12))
def test_weights_move_tokens_as_a_plain_implementation_does(
    tiny_model: PhotoMaker, words: list[tuple[str, float]]
) -> None:
    prompt = " ".join(f"({word}:{weight})" for word, weight in words)
    found = read(tiny_model, prompt, None, negative=prompt)
    expected = plainly_weighted(tiny_model.base.text, words)
    torch.testing.assert_close(found.text.tokens, expected)
    torch.testing.assert_close(found.negative.tokens, expected)
    pooled = tiny_model.base.text.encode(" ".join(word for word, _ in words)).pooled
    assert torch.equal(found.text.pooled, pooled)


def test_a_persons_span_is_weighted_after_the_identity_is_merged(tiny_model: PhotoMaker) -> None:
    plain, strong = read(tiny_model, "a man img in a hat"), read(tiny_model, "a (man img:1.5) in a hat")
    places = list(strong.people[0].merged)
    assert strong.people == plain.people
    empty = tiny_model.base.text.encode("").tokens
    expected = plain.merged.tokens.clone()
    expected[0, places] = empty[0, places] + 1.5 * (expected[0, places] - empty[0, places])
    torch.testing.assert_close(strong.merged.tokens, expected)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(WORDS, max_size=30), after=st.lists(WORDS, max_size=30))
def test_a_prompt_without_weights_that_fits_is_read_as_the_reference_reads_it(
    tiny_model: PhotoMaker, before: list[str], after: list[str]
) -> None:
    prompt = " ".join([*before, "man img", *after])
    text = tiny_model.base.text
    stacked = stack_identity(text, tiny_model.id_encoder, prompt, "img", FEATURES)
    if any(one.dropped_text for one in stacked.prompts):
        return
    found = read(tiny_model, prompt)
    assert torch.equal(found.merged.tokens, stacked.merged.tokens)
    assert torch.equal(found.merged.pooled, stacked.merged.pooled)
    assert found.people[0].merged == stacked.prompts[0].class_tokens
    ids = text.token_ids([prompt.replace(" img", "")])[0][0]
    assert ids[found.people[0].text].tolist() == text.tokenizers[0].ids("man")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(WORDS, max_size=160),
    between=st.lists(WORDS, max_size=60),
    after=st.lists(WORDS, max_size=60),
    chunks=st.integers(1, 8),
)
def test_every_person_has_their_own_features_in_the_chunk_of_their_trigger(
    tiny_model: PhotoMaker, before: list[str], between: list[str], after: list[str], chunks: int
) -> None:
    prompt = " ".join([*before, "man img", *between, "(woman img:1.0)", *after])
    try:
        found = read(tiny_model, prompt, [FEATURES, OTHERS], prompt.replace(" img", ""), chunks)
    except PromptError:
        assert len(tiny_model.base.text.tokenizers[0].ids(" ".join([*before, *between]))) > 55 * chunks
        return
    for embedding in (found.text, found.merged, found.negative):
        assert embedding.tokens.shape[1] % 77 == 0
        assert 77 <= embedding.tokens.shape[1] <= 77 * chunks
        assert embedding.tokens.isfinite().all()
    assert [one.class_word for one in found.people] == ["man", "woman"]
    for one, count in zip(found.people, found.photos_used, strict=True):
        assert len(one.merged) == count
        assert one.merged[0] // 77 == one.merged[-1] // 77
        assert one.text[0] // 77 == one.text[-1] // 77
    if chunks == 8:
        assert (found.dropped_text, found.photos_used) == ("", (3, 2))


def test_a_persons_features_change_their_own_places_only(tiny_model: PhotoMaker) -> None:
    prompt = "a man img and a woman img at the beach"
    found, other = (read(tiny_model, prompt, [FEATURES, stack]) for stack in (OTHERS, OTHERS.neg()))
    changed = (found.merged.tokens != other.merged.tokens).any(-1)[0].nonzero().flatten().tolist()
    assert changed == list(found.people[1].merged)
    assert torch.equal(found.text.tokens, read(tiny_model, "a man and a woman at the beach", None).text.tokens)


def test_the_end_of_a_long_prompt_is_seen(tiny_model: PhotoMaker) -> None:
    words = "in the old town " * 30
    text = tiny_model.base.text
    for prompt in (f"a man img {words} hat", f"{words} a man img {words} hat"):
        found = read(tiny_model, prompt)
        assert found.dropped_text == ""
        assert not torch.equal(found.merged.tokens, read(tiny_model, f"{prompt[:-3]} sea").merged.tokens)
        first_ids = text.tokenizers[0].ids(prompt.replace(" img", ""))
        assert found.text.tokens.shape[1] == 77 * -(-len(first_ids) // 75)
        assert read(tiny_model, prompt, max_chunks=8).merged.tokens.shape == found.merged.tokens.shape
    assert read(tiny_model, f"a man img {words} hat", max_chunks=1).dropped_text.endswith("hat")


def test_a_chunk_ends_behind_a_comma_where_one_is_near(tiny_model: PhotoMaker) -> None:
    text = tiny_model.base.text
    found = read(tiny_model, "in the sea " * 22 + ", a man walking by the sea in the red town", None)
    expected = text.encode("a man walking by the sea in the red town").tokens
    assert torch.equal(found.text.tokens[:, 77:], expected)


def test_a_comma_costs_no_word_at_the_end(tiny_model: PhotoMaker) -> None:
    tokenizer = tiny_model.base.text.tokenizers[0]
    prompt = "in the sea " * 22 + ", " + "in the sea " * 27 + "in the"
    assert len(tokenizer.ids(prompt)) == 150
    found = read(tiny_model, prompt, None, max_chunks=2)
    assert (found.dropped_text, found.text.tokens.shape[1]) == ("", 154)
    assert read(tiny_model, f"{prompt} sea", None, max_chunks=2).dropped_text == "sea"


def test_photos_of_all_people_are_reduced_evenly_where_they_do_not_fit(tiny_model: PhotoMaker) -> None:
    found = read(tiny_model, "a man img and a woman img", [torch.zeros(60, 1, 256), torch.zeros(40, 1, 256)], None, 1)
    assert found.photos_used == (36, 36)
    assert found.dropped_text == ""
    with pytest.raises(PromptError, match="too late"):
        read(tiny_model, "in the sea " * 30 + "a man img and a woman img", [FEATURES, OTHERS], None, 1)


@pytest.mark.parametrize("prompt", ["a man img", "a man img and a woman img and a boy img"])
def test_as_many_triggers_as_people_are_needed(tiny_model: PhotoMaker, prompt: str) -> None:
    with pytest.raises(PromptError, match="for 2 people"):
        read(tiny_model, prompt, [FEATURES, OTHERS])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=st.text(max_size=30), negative=st.text(max_size=30))
def test_whatever_is_typed_is_embedded_or_explained(tiny_model: PhotoMaker, prompt: str, negative: str) -> None:
    for typed, features in (
        (f"(a man img {prompt}:1.3)", FEATURES),
        (f"({prompt}) a man img and [a woman img] {prompt}", [FEATURES, OTHERS]),
    ):
        try:
            found = read(tiny_model, typed, features, f"({negative}:0.4)")
        except PromptError:
            continue
        assert found.merged.tokens.isfinite().all()
