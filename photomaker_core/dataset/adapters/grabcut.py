"""GrabCut (Rother et al. 2004) of OpenCV, seeded by the face box: person masks without any weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photomaker_core.dataset.boxes import scaled
from photomaker_core.models.face_recognition import Box

_WORKING_SIDE_PX: Final = 192
_ROUNDS: Final = 3
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class GrabCutSegmenter:
    """One mask: what has the colours of the face and of the body below it.

    Around the face lies the head (1.9 faces wide, from 0.75 of a face above), below it the shoulders (3.6 faces wide to
    the lower edge). The middle of both is surely the person, what is further than that from the face surely is not; the
    rest is cut along the colours. Of the parts that come out the one that holds the face is kept.
    """

    def segment(self, picture: Image.Image, face: Box) -> list[NDArray[np.bool_]]:
        import cv2

        scale = min(1.0, _WORKING_SIDE_PX / max(picture.size))
        size = (max(8, round(picture.width * scale)), max(8, round(picture.height * scale)))
        small = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))[:, :, ::-1].copy()
        box = scaled(face, scale)
        labels = _seeds(size, box)
        sure = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if sure.all() or not sure.any():
            return [np.ones((picture.height, picture.width), dtype=np.bool_)]
        cv2.setRNGSeed(_SEED)
        models = (np.zeros((1, 65)), np.zeros((1, 65)))
        cv2.grabCut(small, labels, (0, 0, 1, 1), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
        person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
        opened = cv2.morphologyEx(person, cv2.MORPH_OPEN, np.ones((3, 3), dtype=np.uint8))
        person = _part_with(np.asarray(opened, dtype=np.uint8), box)
        mask = Image.fromarray(person * 255).resize(picture.size, Image.Resampling.BILINEAR)
        return [np.asarray(mask) > 127]


def _seeds(size: tuple[int, int], face: Box) -> NDArray[np.uint8]:
    """GrabCut's labels: 0 surely not, 1 surely, 2 rather not, 3 rather the person."""
    width, height = size
    left, top, right, bottom = face
    x, y = (left + right) / 2, (top + bottom) / 2
    w, h = max(right - left, 1.0), max(bottom - top, 1.0)
    columns, rows = np.arange(width)[None] + 0.5, np.arange(height)[:, None] + 0.5

    def oval(cx: float, cy: float, rx: float, ry: float) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = ((columns - cx) / rx) ** 2 + ((rows - cy) / ry) ** 2 <= 1
        return inside

    below = rows > bottom
    slope = np.clip((rows - bottom) / h, 0, 1)
    labels = np.zeros((height, width), dtype=np.uint8)
    labels[oval(x, y, 1.25 * w, 1.2 * h) | (below & (np.abs(columns - x) < 2.2 * w))] = 2
    labels[oval(x, y, 0.75 * w, 0.75 * h) | (below & (np.abs(columns - x) < (0.35 + 1.05 * slope) * w))] = 3
    labels[oval(x, y, 0.42 * w, 0.45 * h) | (below & (np.abs(columns - x) < (0.15 + 0.45 * slope) * w))] = 1
    return labels


def _part_with(person: NDArray[np.uint8], face: Box) -> NDArray[np.uint8]:
    import cv2

    _, parts = cv2.connectedComponents(person)
    height, width = person.shape
    row = min(max(round((face[1] + face[3]) / 2), 0), height - 1)
    column = min(max(round((face[0] + face[2]) / 2), 0), width - 1)
    part = parts[row, column]
    return person if part == 0 else (parts == part).astype(np.uint8)
