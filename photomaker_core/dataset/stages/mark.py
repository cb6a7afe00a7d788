"""Marks the class word of each caption and gives each group the word of its majority."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from PIL import Image

from photomaker_core.dataset.class_words import (
    ClassWord,
    best_by_similarity,
    find_class_words,
    majority,
    subject,
    with_trigger,
)
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stage_networks import RegionScorer

NAME: Final = "mark"
MASK_LABEL: Final = "person"


@dataclass(frozen=True, slots=True)
class MarkStage:
    """Needs whole groups in a batch. Without a ``scorer`` the sentence's subject is marked."""

    store: PictureStore
    scorer: RegionScorer | None

    def run(self, rows: list[PictureRow], index: int) -> list[PictureRow]:
        marked: list[PictureRow] = []
        for _, group in groupby(rows, key=lambda row: row.person):
            marked += self._group(list(group))
        return marked

    def _group(self, rows: list[PictureRow]) -> list[PictureRow]:
        words = {index: self._word(row) for index, row in enumerate(rows) if row.is_kept}
        group_word = majority([word.word for word in words.values()])
        for index, word in words.items():
            rows[index] = replace(
                rows[index],
                class_word=word.word,
                group_word=group_word,
                caption=with_trigger(rows[index].caption, word, group_word),
            )
        return rows

    def _word(self, row: PictureRow) -> ClassWord:
        found = find_class_words(row.caption)
        if len(found) == 1:
            return found[0]
        if self.scorer is None:
            return found[subject(row.caption, found)]
        return found[
            best_by_similarity(
                self.scorer.region_similarities(self._region(row), [word.phrase for word in found]),
                self.scorer.label_similarities([word.word for word in found], MASK_LABEL),
            )
        ]

    def _region(self, row: PictureRow) -> Image.Image:
        """The person alone on white, cut to the mask's box."""
        crop = self.store.open(row.picture).crop(row.crop)
        mask = self.store.open_mask(row.mask)
        return Image.composite(crop, Image.new("RGB", crop.size, "white"), mask).crop(mask.getbbox())
