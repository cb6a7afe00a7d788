"""Captions of drawn people from what the portrait judge reads in them, and its comparison of pictures with texts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import torch
from PIL import Image

from photomaker_core.dataset.adapters.drawn_class_words import load_class_word_reader
from photomaker_core.dataset.adapters.drawn_faces import DrawnFaces, portrait_around
from photomaker_core.nano.judge import judge_pixels, load_judge

_WITHOUT_CLASS_WORD: Final = 0.2
_JOINING: Final = ("next to", "with", "and", "beside")


class DrawnCaptioner:
    """Says who is in a picture from left to right and what they wear. One sentence in five names nobody."""

    def __init__(self) -> None:
        self._judge, self._faces, self._class_words = load_judge(), DrawnFaces(), load_class_word_reader()

    @torch.no_grad()
    def caption(self, picture: Image.Image, rng: Random) -> str:
        faces = sorted(self._faces.find(picture), key=lambda face: face.left)
        boxes = [face.box for face in faces] or [_middle(picture)]
        portraits = [portrait_around(picture, box) for box in boxes]
        read = self._judge.attributes(self._judge.features(judge_pixels(portraits)).pooled)
        if rng.random() < _WITHOUT_CLASS_WORD:
            return f"a portrait in front of a {read[0]['background']} wall"
        words = self._class_words.read(portraits)
        people = [_person(word, attributes, rng) for word, attributes in zip(words, read, strict=True)]
        return "a photo of " + f" {rng.choice(_JOINING)} ".join(people)


class DrawnRegionScorer:
    """The judge's agreement of pictures with captions, for drawn people."""

    def __init__(self) -> None:
        self._judge, self._faces = load_judge(), DrawnFaces()

    @torch.no_grad()
    def region_similarities(self, region: Image.Image, phrases: Sequence[str]) -> list[float]:
        faces = self._faces.find(region)
        if faces:
            largest = max(faces, key=lambda face: (face.right - face.left) * (face.bottom - face.top))
            region = portrait_around(region, largest.box)
        picture = self._judge.picture_embeddings(self._judge.features(judge_pixels([region])).pooled)
        return [float(value) for value in self._judge.text_embeddings(phrases) @ picture[0]]

    @torch.no_grad()
    def label_similarities(self, words: Sequence[str], label: str) -> list[float]:
        """All the same: every class word of a drawn caption names a person."""
        return [1.0] * len(words)


def _person(word: str, attributes: dict[str, str], rng: Random) -> str:
    details = [f"in a {attributes['clothes_colour']} {attributes['clothes']}"]
    if attributes["glasses"] != "none":
        details.append(f"wearing {attributes['glasses']}")
    if attributes["hat"] != "none":
        details.append(f"in a {attributes['hat']}")
    if attributes["expression"] in ("smiling", "laughing", "angry", "sad"):
        details.append(attributes["expression"])
    rng.shuffle(details)
    return " ".join([f"a {word}", *details[: rng.randint(1, 3)]])


def _middle(picture: Image.Image) -> tuple[float, float, float, float]:
    width, height = picture.size
    return width * 0.3, height * 0.25, width * 0.7, height * 0.7
