"""Interfaces of the stages' networks; each role has adapters of its own module, chosen by the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photomaker_core.models.face_recognition import Box, Face


class FaceFinder(Protocol):
    """Finds every face in an upright RGB picture and embeds it."""

    @property
    def same_person_mean(self) -> float:
        """The mean L2 distance of the embeddings of two pictures of one person."""

    @property
    def same_person_deviation(self) -> float:
        """The standard deviation of that distance."""

    def find(self, picture: Image.Image) -> list[Face]:
        """All faces, boxes in pixels of ``picture``."""


class Segmenter(Protocol):
    """Cuts people out."""

    def segment(self, picture: Image.Image, face: Box) -> list[NDArray[np.bool_]]:
        """Person masks [height, width], surest first; ``face`` may seed a segmenter that needs a hint."""


class Captioner(Protocol):
    """Describes a picture in one sentence."""

    def caption(self, picture: Image.Image, rng: Random) -> str:
        """A sampled caption; the same ``rng`` state gives the same one."""


class RegionScorer(Protocol):
    """Compares a picture with texts, as CLIP does."""

    def region_similarities(self, region: Image.Image, phrases: Sequence[str]) -> list[float]:
        """The similarity of each phrase to the picture, cosines in -1..1."""

    def label_similarities(self, words: Sequence[str], label: str) -> list[float]:
        """The similarity of each word to ``label``, cosines in -1..1."""
