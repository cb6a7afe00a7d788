"""Where a trigger word goes, and which words it finds for the people."""

from __future__ import annotations

import pytest

from photomaker_core.conditioning.person_words import NO_PERSON_WORDS, PERSON_WORDS, SINGULARS
from photomaker_core.conditioning.trigger_placement import place_trigger, place_triggers, without_trigger
from photomaker_core.errors import PromptError


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a man img in a red hat", "a man img in a red hat"),
        ("a man in a red hat", "a man img in a red hat"),
        ("Two dogs and a Woman.", "Two dogs and a Woman img."),
        ("  a   girl\n img  ", "a girl img"),
        ("a snowman and a boy", "a snowman and a boy img"),
        ("two men by the sea", "two men img by the sea"),
        ("a policeman", "a policeman img"),
        ("IMG_1234.jpg of a man", "IMG_1234.jpg of a man img"),
        ("img2img of a man", "img2img of a man img"),
        ("by an artist: a man", "by an artist: a man img"),
        ("a man/woman at sea", "a man img /woman at sea"),
        ("a photo of me, a man@work", "a photo of me, a man img @work"),
        ("a girl.png", "a girl img .png"),
    ],
)
def test_a_missing_trigger_goes_behind_the_class_word(prompt: str, expected: str) -> None:
    placed = place_trigger(prompt)
    assert placed.text == expected
    assert placed.trigger_inserted == (" img" not in prompt)


@pytest.mark.parametrize(
    ("prompt", "expected", "class_word"),
    [
        ("a (man:1.2) img", "a (man img:1.2)", "man"),
        ("a man, img", "a man img", "man"),
        ("a man, img, in a hat", "a man img, in a hat", "man"),
        ("a man (img)", "a man img", "man"),
        ('"man" img', '"man img"', "man"),
        ("a woman with img", "a woman img with", "woman"),
        ("cinematic photo img handsome man", "cinematic photo handsome man img", "man"),
        ("a man 🎩 img", "a man img 🎩", "man"),
        ("a boy and a man, smiling, IMG", "a boy and a man img, smiling", "man"),
        ("a man's img", "a man img's", "man"),
        ("img of a man", "of a man img", "man"),
    ],
)
def test_a_trigger_behind_something_that_is_no_person_goes_to_the_nearest_class_word(
    prompt: str, expected: str, class_word: str
) -> None:
    placed = place_trigger(prompt)
    assert (placed.text, placed.class_word, placed.trigger_inserted) == (expected, class_word, True)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a man Img in a hat", "a man img in a hat"),
        ("a man IMG.", "a man img."),
        ("a man and a zookeeper img", "a man and a zookeeper img"),
        ("a robot img, IMG_1234.jpg", "a robot img, IMG_1234.jpg"),
        ("आदमी img", "आदमी img"),
        ("男人img", "男人img"),
        ("a man (img:1.2) in a hat", "a (man img:1.2) in a hat"),
        ("a (tall man ( IMG : 1.2 ):1.1)", "a (tall (man img: 1.2 ):1.1)"),
    ],
)
def test_a_trigger_behind_a_word_stays_there(prompt: str, expected: str) -> None:
    placed = place_trigger(prompt)
    assert (placed.text, placed.trigger_inserted) == (expected, False)


def test_no_word_names_a_person_and_nobody() -> None:
    assert not PERSON_WORDS & NO_PERSON_WORDS


def test_the_trigger_is_a_word_and_no_part_of_one() -> None:
    assert without_trigger("a man IMG, imgur, img.jpg") == "a man, imgur, img.jpg"


@pytest.mark.parametrize(
    ("prompt", "expected", "words"),
    [
        ("a man img and a woman img", "a man img and a woman img", ("man", "woman")),
        ("a man, IMG and a woman (img)", "a man img, and a woman img", ("man", "woman")),
        ("a (man:1.2) img by [woman] img", "a (man img:1.2) by [woman img]", ("man", "woman")),
        ("a man/boss, 1 img and a woman img", "a man img /boss, 1 and a woman img", ("man", "woman")),
    ],
)
def test_each_trigger_goes_to_the_person_before_it(prompt: str, expected: str, words: tuple[str, ...]) -> None:
    for typed in (prompt, expected):
        placed = place_triggers(typed, "img", 2)
        assert (placed.text, placed.class_words, placed.trigger_inserted) == (expected, words, False)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a man and a woman at the beach", "a man img and a woman img at the beach"),
        ("(a man:1.2) and an old  woman", "(a man img:1.2) and an old woman img"),
        ("a man and a samurai", "a man img and a samurai img"),
        ("a painter paints a man and a woman", "a painter paints a man img and a woman img"),
        ("a man, a woman and a boy", "a man img, a woman img and a boy"),
        ("at the beach", "a person img and a person img, at the beach"),
        ("Two Men dancing", "a man img and a man img, Two Men dancing"),
        ("actors on a stage", "an actor img and an actor img, actors on a stage"),
        ("policewomen", "a policewoman img and a policewoman img, policewomen"),
        (" ", "a person img and a person img"),
        ("a man/a woman-at-arms", "a man img /a woman img -at-arms"),
    ],
)
def test_missing_triggers_go_behind_the_words_for_one_person_each(prompt: str, expected: str) -> None:
    placed = place_triggers(prompt, "img", 2)
    assert (placed.text, placed.trigger_inserted) == (expected, True)
    assert place_triggers(expected, "img", 2).text == expected


def test_three_people_are_listed() -> None:
    assert place_triggers("friends", "img", 3).text == "a person img, a person img and a person img, friends"


def test_every_word_for_several_has_one_for_one() -> None:
    assert not SINGULARS.keys() & set(SINGULARS.values())
    assert set(SINGULARS.values()) <= PERSON_WORDS


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("a man img with img", "number 2"),
        ("a man img", "1 times for 2 people"),
        ("a man at the beach", "a word for 1 of 2 people"),
    ],
)
def test_people_who_cannot_be_found_are_explained(prompt: str, part: str) -> None:
    with pytest.raises(PromptError, match=part):
        place_triggers(prompt, "img", 2)
