"""Says before an evaluation's hours what they will be, from the first picture that is drawn."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from photomaker_core.evaluation.methods import Drawer, Method, PromptSpec
    from photomaker_core.evaluation.people import Person


@dataclass(slots=True)
class TimedMethod:
    """``method`` for ``people``, with a line on stderr after the first picture: how long the rest takes at most."""

    method: Method
    people: int
    pictures_each: int
    _told: bool = False

    @property
    def name(self) -> str:
        return self.method.name

    def personalise(self, person: Person) -> Drawer:
        started = time.perf_counter()
        drawer = self.method.personalise(person)
        learning_s = time.perf_counter() - started

        def draw(wishes: Sequence[PromptSpec]) -> list[Image.Image]:
            began = time.perf_counter()
            pictures = drawer(wishes)
            if wishes and not self._told:
                self._told = True
                picture_s = (time.perf_counter() - began) / len(wishes)
                total_s = self.people * (learning_s + self.pictures_each * picture_s)
                print(
                    f"{self.name}: {self.people} people, {self.pictures_each} pictures each; the first took "
                    f"{learning_s + picture_s:.1f} s, so all of them take up to {spelt_duration(total_s)}.",
                    file=sys.stderr,
                )
            return pictures

        return draw


def spelt_duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
