"""The same caption for every picture: for one's own folder, when no captioning model is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image


@dataclass(frozen=True, slots=True)
class FixedCaption:
    text: str

    def caption(self, picture: Image.Image, rng: Random) -> str:
        return self.text
