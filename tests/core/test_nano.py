"""The embedded model: its training data are what they claim, and its pictures follow prompt and photos."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from photomaker_core.conditioning.prompt_tokens import DEFAULT_TRIGGER_WORD, identity_prompt, place_trigger
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.nano.captions import caption
from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY, identity_number, scene_number
from photomaker_core.nano.portraits import COLOURS, FACE_RADII_PX, SIZE_PX, draw, face_centre
from photomaker_core.nano.weight_files import NANO_ADAPTER, NANO_BASE
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
    assert 0.15 < covered < 0.9, "the mask covers the person, not the picture"


@given(people, pictures, st.integers(), st.booleans())
@settings(deadline=None)
def test_captions_fit_photomaker(nano: PhotoMaker, person: int, picture: int, seed: int, describe: bool) -> None:
    identity, scene = identity_number(person), scene_number(person, picture)
    text = caption(identity, scene, Random(seed), describe_identity=describe)
    assert text == caption(identity, scene, Random(seed), describe_identity=describe)
    placed = place_trigger(text)
    assert f"{identity.class_word} {DEFAULT_TRIGGER_WORD}" in placed.text
    for tokenizer in nano.base.text.tokenizers:
        expanded = identity_prompt(tokenizer, placed.text, DEFAULT_TRIGGER_WORD, 4)
        assert not expanded.dropped_text
    if not describe:
        assert ("hair" in text) <= (scene.dyed_hair is not None)
        assert not any(word in text for word in ("skin", "beard", "eyes", "bald"))


@given(people, pictures)
@settings(max_examples=10, deadline=None)
def test_the_loss_counts_more_where_expressions_show(person: int, picture: int) -> None:
    identity, scene = identity_number(person), replace(scene_number(person, picture), medium="photo")
    neutral, laughing = (
        np.asarray(draw(identity, replace(scene, expression=expression))[0], dtype=int)
        for expression in ("neutral", "laughing")
    )
    changed = np.abs(neutral - laughing).sum(-1) > 30
    x, y = face_centre(scene)
    rows, columns = np.nonzero(changed)
    inside = ((columns - x) / FACE_RADII_PX[0]) ** 2 + ((rows - y) / FACE_RADII_PX[1]) ** 2 < 1
    assert inside.mean() > 0.95


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
    pictures = drawn(nano, 3, f"a man img on a {background} background", range(4))
    corners = np.concatenate([pictures[:, 4:20, 4:20], pictures[:, 4:20, -20:-4]], axis=2)
    named = {name: COLOURS[name] for name in ("yellow", "blue", "green", "red", "white", "black")}
    assert [nearest(np.median(one, axis=(0, 1)), named) for one in corners].count(background) >= 3


def test_pictures_follow_the_hair_colour(nano: PhotoMaker) -> None:
    """The prompt's colour against that of the photos, which is brown."""
    hair = {}
    for colour in ("red", "black", "white"):
        pictures = drawn(nano, 2, f"a woman img with {colour} hair on a grey background", range(4))
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
    small = np.asarray(picture.resize((SIZE_PX // 8, SIZE_PX // 8), Image.Resampling.BOX)).astype(float)
    first, middle, last = (float(np.abs(shown[step] - small).mean()) for step in (0, 10, -1))
    assert last < 15
    assert last <= middle < first / 2


def test_shipped_configurations_name_no_machines_folders() -> None:
    for path in NANO_BASE.rglob("*.json"):
        assert "_name_or_path" not in path.read_text(), path
