"""The paper's rules, each for all inputs that there can be."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from photomaker_core.dataset.near_duplicates import difference_hash, hash_distance, near_duplicates
from photomaker_core.dataset.rules import (
    MIN_FACE_SHARE,
    best_mask,
    is_face_large_enough,
    is_large_enough,
    mask_overlap,
    square_around_face,
)
from photomaker_core.models.face_verification import choose_faces, literal_outliers, outliers, summed_distances
from photomaker_core.nano.portraits import draw
from photomaker_core.nano.scenes import random_identity, reference_scene

sides = st.integers(16, 3000)


@st.composite
def pictures_with_face(draw_from: st.DrawFn) -> tuple[tuple[float, float, float, float], int, int]:
    width, height = draw_from(sides), draw_from(sides)
    left, top = draw_from(st.floats(-20, width - 8)), draw_from(st.floats(-20, height - 8))
    right = left + draw_from(st.floats(24, width + 20.0))
    bottom = top + draw_from(st.floats(24, height + 20.0))
    return (left, top, right, bottom), width, height


@given(pictures_with_face())
def test_the_crop_is_a_square_inside_the_picture(case: tuple[tuple[float, float, float, float], int, int]) -> None:
    face, width, height = case
    left, top, right, bottom = square_around_face(face, width, height)
    assert right - left == bottom - top > 0
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@given(pictures_with_face())
def test_the_face_keeps_its_share_and_no_larger_square_would_do(
    case: tuple[tuple[float, float, float, float], int, int],
) -> None:
    face, width, height = case
    left, _, right, _ = square_around_face(face, width, height)
    side = right - left
    visible = (min(max(face[2], 0), width) - min(max(face[0], 0), width)) * (
        min(max(face[3], 0), height) - min(max(face[1], 0), height)
    )
    assert side == 1 or visible > MIN_FACE_SHARE * side * side
    assert side == min(width, height) or visible <= MIN_FACE_SHARE * (side + 1) ** 2


@given(pictures_with_face())
def test_a_face_that_fits_lies_inside_the_crop(case: tuple[tuple[float, float, float, float], int, int]) -> None:
    face, width, height = case
    left, top, right, bottom = square_around_face(face, width, height)
    inside = face[0] >= 0 and face[1] >= 0 and face[2] <= width and face[3] <= height
    if inside and max(face[2] - face[0], face[3] - face[1]) <= right - left - 2:
        assert left - 1 <= face[0]
        assert face[2] <= right + 1
        assert top - 1 <= face[1]
        assert face[3] <= bottom + 1


@pytest.mark.parametrize(("width", "height", "large"), [(512, 512, True), (2000, 511, False), (511, 512, False)])
def test_the_shortest_side_counts(width: int, height: int, large: bool) -> None:
    assert is_large_enough(width, height) is large


@pytest.mark.parametrize(("face", "large"), [((0, 0, 256, 256), True), ((0, 0, 255.9, 400), False)])
def test_both_sides_of_the_face_count(face: tuple[float, float, float, float], large: bool) -> None:
    assert is_face_large_enough(face) is large


def test_the_mask_on_the_face_is_taken_and_none_means_none() -> None:
    left, right = np.zeros((20, 40), dtype=bool), np.zeros((20, 40), dtype=bool)
    left[:, :15], right[:, 25:] = True, True
    assert best_mask([left, right], (28, 5, 38, 15)) == (1, 1.0)
    assert best_mask([left, right], (12, 5, 18, 15)) == (0, 0.5)
    assert best_mask([left], (28, 5, 38, 15)) is None
    assert best_mask([], (28, 5, 38, 15)) is None
    assert mask_overlap(left, (50, 50, 60, 60)) == 0


def people(rng: np.random.Generator, sizes: list[int], spread: float = 0.02) -> tuple[np.ndarray, list[int]]:
    """Embeddings of unit length: a person is a point, their pictures lie near it; different people lie far apart."""
    rows, owners = [], []
    for owner, size in enumerate(sizes):
        centre = rng.normal(size=128)
        centre /= np.linalg.norm(centre)
        for _ in range(size):
            one = centre + rng.normal(size=128) * spread
            rows.append(one / np.linalg.norm(one))
            owners.append(owner)
    return np.asarray(rows, dtype=np.float32), owners


@given(arrays(np.float32, st.tuples(st.integers(1, 30), st.just(4)), elements=st.floats(-10, 10, width=32)))
@settings(deadline=None)
def test_summed_distances_are_the_formula(embeddings: np.ndarray) -> None:
    expected = [
        sum(float(np.linalg.norm(one.astype(np.float64) - other)) for other in embeddings) for one in embeddings
    ]
    np.testing.assert_allclose(summed_distances(embeddings, embeddings), expected, atol=1e-6)


@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_strangers_are_found_and_nobody_else_while_the_person_has_the_majority(
    seed: int, right: int, percent: int
) -> None:
    wrong = right * percent // 100
    rng = np.random.default_rng(seed)
    embeddings, owners = people(rng, [right, *([1] * wrong)])
    order = rng.permutation(len(owners))
    found, means = outliers(embeddings[order], same_person_mean=0.32, same_person_deviation=0.02, factor=4)
    assert sorted(owners[order[index]] for index in found) == list(range(1, wrong + 1))
    assert len(means) == len(owners)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_verdict_does_not_depend_on_the_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings, _ = people(rng, [8, 2, 1])
    order = rng.permutation(len(embeddings))
    first, _ = outliers(embeddings, 0.32, 0.02, 4)
    second, _ = outliers(embeddings[order], 0.32, 0.02, 4)
    assert sorted(first) == sorted(int(order[index]) for index in second)


def test_taken_literally_the_papers_threshold_drops_a_group_of_one_person() -> None:
    embeddings, _ = people(np.random.default_rng(0), [10])
    assert len(literal_outliers(embeddings)) == 10


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_of_several_faces_the_persons_is_chosen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings, _ = people(rng, [8, *([1] * 12)])
    own, strangers = embeddings[:8], list(embeddings[8:])
    pictures, places = [], []
    for face in own:
        beside = [strangers.pop() for _ in range(int(rng.integers(0, min(3, len(strangers) + 1))))]
        place = int(rng.integers(0, len(beside) + 1))
        pictures.append(np.stack([*beside[:place], face, *beside[place:]]))
        places.append(place)
    assert choose_faces(pictures) == places


def test_a_scaled_and_compressed_copy_has_nearly_the_same_hash() -> None:
    rng = Random(3)
    pictures = [draw(random_identity(rng), reference_scene(rng))[0] for _ in range(6)]
    for picture in pictures:
        copy = picture.resize((90, 90)).resize((110, 110))
        assert hash_distance(difference_hash(picture), difference_hash(copy)) <= 8
    far = [hash_distance(difference_hash(a), difference_hash(b)) for a in pictures for b in pictures if a is not b]
    assert np.median(far) > 8


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12), st.integers(0, 64))
def test_of_repeats_exactly_one_is_kept(hashes: list[int], most: int) -> None:
    areas = list(range(len(hashes)))
    found = near_duplicates(hashes, np.zeros((len(hashes), 4), dtype=np.float32), areas, 0.1, most)
    kept = set(range(len(hashes))) - set(found)
    assert kept
    for index, original in found.items():
        assert original in kept
        assert areas[original] >= areas[index]
        assert hash_distance(hashes[index], hashes[original]) <= most
    assert all(hash_distance(hashes[a], hashes[b]) > most for a in kept for b in kept if a != b)


def test_equal_hashes_of_different_people_are_no_repeats() -> None:
    embeddings, _ = people(np.random.default_rng(1), [1, 1])
    assert near_duplicates([7, 7], embeddings, [10, 10], 0.3) == {}


def test_a_plain_picture_hashes_to_nothing() -> None:
    assert difference_hash(Image.new("RGB", (300, 200), "navy")) == 0
