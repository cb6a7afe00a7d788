"""Face recognition with dlib on the golden photographs: paintings of one man."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from photomaker_core.errors import ModelError, PhotoError
from photomaker_core.images.photo_decoding import load_photo, normalise_photo
from photomaker_core.models.face_recognition import SAME_PERSON_MEAN, DlibFaces, photos_of_others
from tests.support.tiny_model import NEWTON

pytest.importorskip("dlib")


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [load_photo(normalise_photo(path.read_bytes())) for path in NEWTON]


def test_four_pictures_of_one_man_disagree_about_nobody(photos: list[Image.Image]) -> None:
    nobody = Image.new("RGB", (300, 300), "grey")
    assert photos_of_others([photos[0], nobody, *photos[1:]]) == []


def test_one_face_cannot_disagree(photos: list[Image.Image]) -> None:
    assert photos_of_others(photos[:1]) == []
    assert photos_of_others([]) == []


def test_the_largest_face_is_embedded_and_cut_out(photos: list[Image.Image]) -> None:
    faces = DlibFaces("hog")
    first, second = faces.embed(photos[0]), faces.embed(photos[2])
    assert first.shape == (faces.width,)
    assert torch.linalg.vector_norm(first - second) < 2 * SAME_PERSON_MEAN
    cut = faces.crop(photos[0])
    assert cut is not None
    assert 0.1 * photos[0].width < cut.width < photos[0].width


def test_a_picture_without_face_says_so() -> None:
    empty = Image.new("RGB", (200, 200))
    assert DlibFaces("hog").crop(empty) is None
    with pytest.raises(PhotoError, match="no face"):
        DlibFaces("hog").embed(empty)


def test_an_unknown_detector_is_named() -> None:
    with pytest.raises(ModelError, match="hog, cnn or both"):
        DlibFaces("eyes")
