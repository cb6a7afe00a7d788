"""Class words in captions: singular, found, the right one marked, and the group's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photomaker_core.conditioning.person_words import CLASS_WORDS
from photomaker_core.conditioning.trigger_placement import place_trigger
from photomaker_core.dataset.class_words import (
    best_by_similarity,
    find_class_words,
    majority,
    singularise,
    subject,
    with_trigger,
)

SUBJECTS = [
    ("a photo of a woman next to a man in a red hat", "woman"),
    ("a man with a boy and a dog", "man"),
    ("with two young children, a woman smiles at the camera", "woman"),
    ("next to a man is a woman in a blue dress", "woman"),
    ("a man holding a painting of a woman", "man"),
    ("in a park, a girl and a boy", "girl"),
    ("portrait of an actor with his wife", "actor"),
    ("beside her husband a lady drinks tea", "lady"),
    ("a close-up of a guy and his daughter", "guy"),
    ("a king and queen on their thrones", "king"),
    ("a woman is talking to a man", "woman"),
    ("behind a man and a boy, a girl is running", "girl"),
    ("a teacher by a child", "teacher"),
    ("the boy who waits for a woman", "boy"),
]


@pytest.mark.parametrize(
    ("caption", "singular"),
    [
        ("two men in hats", "a man in hats"),
        ("a couple of ladies are walking", "a lady is walking"),
        ("a group of young people at a table", "a young person at a table"),
        ("three old actors", "an old actor"),
        ("a  man \n in red", "a man in red"),
        ("The children were playing", "The child is playing"),
        ("a boat", "a boat"),
        ("", ""),
    ],
)
def test_captions_become_singular(caption: str, singular: str) -> None:
    assert singularise(caption) == singular


@pytest.mark.parametrize(("caption", "word"), SUBJECTS)
def test_the_sentences_subject_is_found(caption: str, word: str) -> None:
    singular = singularise(caption)
    words = find_class_words(singular)
    assert words[subject(singular, words)].word == word


@given(st.text(max_size=80))
def test_any_text_can_be_searched(text: str) -> None:
    singular = singularise(text)
    words = find_class_words(singular)
    assert singularise(singular) == singular
    for word in words:
        assert singular[word.start : word.end].lower() == word.word
    if words:
        assert 0 <= subject(singular, words) < len(words)


@given(
    st.sampled_from(CLASS_WORDS), st.sampled_from(CLASS_WORDS), st.sampled_from(["red hat", "img of an img", "Mütze"])
)
def test_the_marked_caption_is_a_prompt_of_the_group(word: str, group_word: str, thing: str) -> None:
    caption = singularise(f"a photo of a {word} in a {thing}")
    marked = with_trigger(caption, find_class_words(caption)[0], group_word)
    placed = place_trigger(marked)
    assert not placed.trigger_inserted
    assert f"{group_word} img" in placed.text


def test_each_class_word_has_its_noun_phrase() -> None:
    words = find_class_words("a photo of an old woman in a red dress next to a tall man in a suit")
    assert [word.phrase for word in words] == ["an old woman in a red dress", "a tall man in a suit"]


def test_the_region_and_the_label_decide_together() -> None:
    assert best_by_similarity([0.2, 0.3], [0.9, 0.9]) == 1
    assert best_by_similarity([0.2, 0.3], [0.9, 0.5]) == 0
    assert best_by_similarity([-0.2, -0.3], [-0.9, -0.5]) == 0


def test_the_majority_names_the_group() -> None:
    assert majority(["man", "woman", "woman"]) == "woman"
    assert majority(["man", "woman"]) == "man"
    assert majority(["", ""]) == ""
