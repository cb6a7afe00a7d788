"""The embedded model: its training data are what they claim, and its pictures follow prompt and photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from photomaker_core.conditioning.prompt_tokens import identity_prompt
from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD, place_trigger
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.nano.attributes import ATTRIBUTES, shown_attributes
from photomaker_core.nano.captions import caption
from photomaker_core.nano.portrait_set import (
    FIRST_HELD_OUT_IDENTITY,
    UNSEEN,
    identity_number,
    portrait_set,
    scene_number,
    tokenised,
)
from photomaker_core.nano.portraits import SIZE_PX, draw, draw_people, face_ellipse
from photomaker_core.nano.scenes import ACTIONS, COLOURS, FRAMINGS, PLACES, Companion, Scene, random_scene
from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine

people = st.integers(0, 10**7)
pictures = st.integers(0, 30)


@given(people, pictures)
@settings(max_examples=10, deadline=None)
def test_a_number_is_always_the_same_picture(person: int, picture: int) -> None:
    first, second = (draw(identity_number(person), scene_number(person, picture)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.size == (SIZE_PX, SIZE_PX)
        assert one.tobytes() == other.tobytes()
    covered = np.asarray(first[1]).mean() / 255
    least = 0.15 if scene_number(person, picture).framing == "portrait" else 0.04
    assert least < covered < 0.9, "the mask covers the person, not the picture"


@given(people, st.integers(2, 3), st.data())
@settings(max_examples=15, deadline=None)
def test_everybody_in_a_picture_has_a_mask_a_box_and_a_class_word(person: int, count: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, count - 1))
    rng = Random(person)
    others = tuple(Companion(n, identity_number(n), random_scene(rng)) for n in range(count - 1))
    identity = identity_number(person)
    scene = replace(random_scene(rng), companions=others, place=place)
    picture, shown = draw_people(identity, scene)
    assert len(shown) == count
    assert shown[place].identity == identity
    lefts = [one.box[0] + one.box[2] for one in shown]
    assert lefts == sorted(lefts), "they stand from left to right"
    masks = np.stack([np.asarray(one.mask) // 255 for one in shown])
    assert masks.sum(0).max() == 1, "every place belongs to one of them"
    assert masks.mean((1, 2)).min() > 0.02
    face = face_ellipse(scene)
    assert masks[place, round(face.y), min(SIZE_PX - 1, max(0, round(face.x)))] == 1
    assert picture.tobytes() == draw(identity, scene)[0].tobytes()
    text = caption(identity, scene, Random(0), describe_identity=True)
    words = [word for word in text.replace(",", "").split() if word in ("man", "woman", "boy", "girl")]
    assert words == [one.identity.class_word for one in shown]
    meant = caption(identity, scene, Random(0), describe_identity=False)
    assert f"{identity.class_word} {DEFAULT_TRIGGER_WORD}" in meant
    assert meant.split(DEFAULT_TRIGGER_WORD)[0].count(" a") + meant.startswith("a") >= place


@pytest.mark.parametrize("place", PLACES)
def test_places_differ_from_each_other(place: str) -> None:
    drawn_places = {name: np.asarray(draw(identity_number(1), Scene(background=name))[0], dtype=int) for name in PLACES}
    assert all(np.abs(drawn_places[place] - other).mean() > 8 for name, other in drawn_places.items() if name != place)


@pytest.mark.parametrize(("field", "values"), [("framing", FRAMINGS), ("action", ACTIONS)])
def test_framings_and_actions_show(field: str, values: tuple[str, ...]) -> None:
    pictures = [np.asarray(draw(identity_number(4), replace(Scene(), **{field: one}))[0], dtype=int) for one in values]
    for index, picture in enumerate(pictures):
        assert all(np.abs(picture - other).mean() > 1 for other in pictures[:index])


def test_a_set_is_drawn_once_with_all_that_training_reads(tmp_path: Path, nano: PhotoMaker) -> None:
    drawn_set = portrait_set(tmp_path, 2, 6, FIRST_HELD_OUT_IDENTITY)
    number = FIRST_HELD_OUT_IDENTITY + 1
    identity, scene = identity_number(number), scene_number(number, 5)
    assert drawn_set.identity(1) == identity
    picture, mask = draw(identity, scene)
    np.testing.assert_array_equal(drawn_set.pictures[1, 5], np.asarray(picture))
    np.testing.assert_array_equal(drawn_set.masks[1, 5] == scene.place + 1, np.asarray(mask) == 255)
    shown = shown_attributes(identity, scene)
    read = {
        name: values[number]
        for (name, values), number in zip(ATTRIBUTES.items(), drawn_set.attributes[1, 5], strict=True)
        if number != UNSEEN
    }
    assert read == shown
    first = nano.base.text.tokenizers[0]
    decoded = first.tokenizer.decode(
        [one for one in drawn_set.prompts[1, 5, 1, 0] if one not in first.tokenizer.all_special_ids]
    )
    assert scene.clothes.split()[0] in decoded or identity.class_word in decoded
    assert portrait_set.__wrapped__(tmp_path, 2, 6, FIRST_HELD_OUT_IDENTITY).pictures.shape == (
        2,
        6,
        SIZE_PX,
        SIZE_PX,
        3,
    )


@given(people, pictures, st.integers(), st.booleans())
@settings(deadline=None)
def test_captions_fit_photomaker(nano: PhotoMaker, person: int, picture: int, seed: int, describe: bool) -> None:
    identity, scene = identity_number(person), scene_number(person, picture)
    text = caption(identity, scene, Random(seed), describe_identity=describe)
    assert text == caption(identity, scene, Random(seed), describe_identity=describe)
    placed = place_trigger(text)
    ids, class_tokens = tokenised(text)
    expected = identity_prompt(nano.base.text.tokenizers[0], placed.text, DEFAULT_TRIGGER_WORD, 1)
    assert (ids, class_tokens) == (expected.input_ids, [expected.class_tokens.start])
    if not describe or not scene.companions:
        assert f"{identity.class_word} {DEFAULT_TRIGGER_WORD}" in placed.text
    for tokenizer in nano.base.text.tokenizers:
        expanded = identity_prompt(tokenizer, placed.text, DEFAULT_TRIGGER_WORD, 4)
        assert not expanded.dropped_text
    if not describe and not scene.companions:
        assert ("hair" in text) <= (scene.dyed_hair is not None)
        assert not any(word in text for word in ("skin", "beard", "eyes", "bald"))


@given(people, pictures)
@settings(max_examples=10, deadline=None)
def test_the_loss_counts_more_where_expressions_show(person: int, picture: int) -> None:
    scene = replace(scene_number(person, picture), medium="photo", action="none", companions=(), place=0)
    identity = identity_number(person)
    neutral, laughing = (
        np.asarray(draw(identity, replace(scene, expression=expression))[0], dtype=int)
        for expression in ("neutral", "laughing")
    )
    changed = np.abs(neutral - laughing).sum(-1) > 30
    face = face_ellipse(scene)
    rows, columns = np.nonzero(changed)
    inside = ((columns - face.x) / face.rx) ** 2 + ((rows - face.y) / face.ry) ** 2 < 1
    assert inside.mean() > 0.9


@pytest.fixture(scope="module")
def nano() -> PhotoMaker:
    return load_photomaker(str(NANO_BASE), NANO_ADAPTER)


def drawn(nano: PhotoMaker, person: int, prompt: str, seeds: range) -> NDArray[np.float32]:
    """Pictures of a held-out person, [seeds, height, width, 3] in 0..255."""
    number = FIRST_HELD_OUT_IDENTITY + person
    photos = [draw(identity_number(number), scene_number(number, picture))[0] for picture in range(3)]
    engine = StepEngine(nano)
    conditioning = engine.condition(prompt, None, nano.encode_photos(photos))
    generations = [
        engine.begin(conditioning, GenerationSettings(width=SIZE_PX, height=SIZE_PX, steps=12, seed=seed))
        for seed in seeds
    ]
    while not generations[0].is_done:
        engine.step(generations)
    return np.stack([np.asarray(engine.finish(one), dtype=np.float32) for one in generations])


def nearest(colour: NDArray[np.float32], names: dict[str, tuple[int, int, int]]) -> str:
    return min(names, key=lambda name: float(np.square(colour - np.asarray(names[name])).sum()))


@pytest.mark.parametrize("background", ["yellow", "blue", "red"])
def test_pictures_follow_the_background(nano: PhotoMaker, background: str) -> None:
    pictures = drawn(nano, 3, f"a man img on a {background} background", range(2))
    corners = np.concatenate([pictures[:, 4:20, 4:20], pictures[:, 4:20, -20:-4]], axis=2)
    named = {name: COLOURS[name] for name in ("yellow", "blue", "green", "red", "white", "black")}
    assert [nearest(np.median(one, axis=(0, 1)), named) for one in corners].count(background) == 2


def test_pictures_follow_the_hair_colour(nano: PhotoMaker) -> None:
    """The prompt's colour against that of the photos, which is brown."""
    hair = {}
    for colour in ("red", "black", "white"):
        pictures = drawn(nano, 2, f"a woman img with {colour} hair on a grey background", range(2))
        hair[colour] = pictures[:, 24:60, 34:94].mean(axis=(0, 1, 2))
    redness = {colour: float(mean[0] - mean[2]) for colour, mean in hair.items()}
    assert redness["red"] > max(redness["black"], redness["white"]) + 50
    assert hair["white"].mean() > hair["black"].mean() + 50


def test_previews_tell_ahead_what_the_picture_will_be(nano: PhotoMaker) -> None:
    engine = StepEngine(nano)
    conditioning = engine.condition("a woman in a red hat on a green background", None, None)
    generation = engine.begin(conditioning, GenerationSettings(SIZE_PX, SIZE_PX, steps=20, seed=3))
    shown = []
    while not generation.is_done:
        engine.step([generation])
        shown.append(np.asarray(engine.preview(generation)).astype(float))
    picture = engine.finish(generation)
    side = SIZE_PX // nano.base.vae_scale
    small = np.asarray(picture.resize((side, side), Image.Resampling.BOX)).astype(float)
    first, middle, last = (float(np.abs(shown[step] - small).mean()) for step in (0, 10, -1))
    assert last < 15
    assert last <= middle < 0.6 * first


def test_shipped_configurations_name_no_machines_folders() -> None:
    for path in NANO_BASE.rglob("*.json"):
        assert "_name_or_path" not in path.read_text(), path
