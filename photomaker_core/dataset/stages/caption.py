"""Captions each crop, again and again until a class word occurs, in the singular."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from photomaker_core.dataset.class_words import find_class_words, singularise
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stage_networks import Captioner
from photomaker_core.dataset.stages.stage import each_picture

NAME: Final = "caption"
NO_CLASS_WORD: Final = "no caption with a class word"


@dataclass(frozen=True, slots=True)
class CaptionStage:
    store: PictureStore
    captioner: Captioner
    attempts: int

    def run(self, rows: list[PictureRow], index: int) -> list[PictureRow]:
        return each_picture(NAME, rows, self._caption)

    def _caption(self, row: PictureRow) -> PictureRow:
        crop = self.store.open(row.picture).crop(row.crop)
        for attempt in range(self.attempts):
            caption = singularise(self.captioner.caption(crop, Random(f"caption {row.picture} {attempt}")))
            if find_class_words(caption):
                return replace(row, caption=caption)
        return row.drop(NAME, NO_CLASS_WORD)
