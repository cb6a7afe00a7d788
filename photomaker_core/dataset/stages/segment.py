"""Cuts the person out of each crop: of all person masks the one that overlaps the face box most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from PIL import Image

from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.rules import best_mask
from photomaker_core.dataset.stage_networks import Segmenter
from photomaker_core.dataset.stages.crop import face_in_crop
from photomaker_core.dataset.stages.stage import each_picture

NAME: Final = "segment"
NO_MASK: Final = "no person mask on the face"


@dataclass(frozen=True, slots=True)
class SegmentStage:
    """``min_overlap`` is the share of the face box that a mask must cover, in 0..1."""

    store: PictureStore
    segmenter: Segmenter
    min_overlap: float

    def run(self, rows: list[PictureRow], index: int) -> list[PictureRow]:
        return each_picture(NAME, rows, self._segment)

    def _segment(self, row: PictureRow) -> PictureRow:
        face = face_in_crop(row)
        masks = self.segmenter.segment(self.store.open(row.picture).crop(row.crop), face)
        best = best_mask(masks, face)
        if best is None or best[1] < self.min_overlap:
            return row.drop(NAME, NO_MASK)
        index, overlap = best
        mask = Image.fromarray(masks[index].astype(np.uint8) * 255)
        return replace(row, mask=self.store.put_mask(mask), mask_overlap=overlap)
