"""Says which square around the person's face is used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.rules import square_around_face
from photomaker_core.dataset.stages.stage import each_picture
from photomaker_core.models.face_recognition import Box

NAME: Final = "crop"


@dataclass(frozen=True, slots=True)
class CropStage:
    min_face_share: float

    def run(self, rows: list[PictureRow], index: int) -> list[PictureRow]:
        return each_picture(NAME, rows, self._crop)

    def _crop(self, row: PictureRow) -> PictureRow:
        crop = square_around_face(row.chosen_face.box, row.width, row.height, self.min_face_share)
        return replace(row, crop=crop)


def face_in_crop(row: PictureRow) -> Box:
    """The person's face box in pixels of the crop."""
    assert row.crop is not None
    left, top, right, bottom = row.chosen_face.box
    x, y = row.crop[:2]
    return left - x, top - y, right - x, bottom - y
