"""Finds and embeds the faces of each picture and drops pictures without a large one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.rules import is_face_large_enough
from photomaker_core.dataset.stage_networks import FaceFinder
from photomaker_core.dataset.stages.stage import each_picture

NAME: Final = "detect"
NO_FACE: Final = "no face"
SMALL_FACE: Final = "every face is too small"


@dataclass(frozen=True, slots=True)
class DetectStage:
    """Small faces of bystanders are forgotten: nobody could be cropped around them."""

    store: PictureStore
    finder: FaceFinder
    min_face_px: int

    def run(self, rows: list[PictureRow], index: int) -> list[PictureRow]:
        return each_picture(NAME, rows, self._detect)

    def _detect(self, row: PictureRow) -> PictureRow:
        faces = self.finder.find(self.store.open(row.picture))
        large = tuple(face for face in faces if is_face_large_enough(face.box, self.min_face_px))
        if not large:
            return row.drop(NAME, SMALL_FACE if faces else NO_FACE)
        return replace(row, faces=large)
