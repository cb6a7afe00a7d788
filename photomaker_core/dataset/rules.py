"""The paper's rules about single pictures (arXiv 2312.04461, 4.1 and its appendix), each one pure function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photomaker_core.models.face_recognition import Box

MIN_SIDE_PX: Final = 512
MIN_FACE_PX: Final = 256
MIN_FACE_SHARE: Final = 0.1


def is_large_enough(width: int, height: int, min_side_px: int = MIN_SIDE_PX) -> bool:
    """True where the shortest side has at least ``min_side_px`` pixels.

    The paper: "drop images whose shortest side is below 512".
    """
    return min(width, height) >= min_side_px


def is_face_large_enough(face: Box, min_face_px: int = MIN_FACE_PX) -> bool:
    """True where the face box is at least ``min_face_px`` x ``min_face_px`` ("smaller than 256 x 256 are filtered")."""
    left, top, right, bottom = face
    return right - left >= min_face_px and bottom - top >= min_face_px


def square_around_face(
    face: Box, width: int, height: int, min_face_share: float = MIN_FACE_SHARE
) -> tuple[int, int, int, int]:
    """The largest square inside the picture in which the face box keeps more than ``min_face_share`` of the area.

    Its middle is the face's, moved as little as keeps it inside. Formula: the largest whole ``side`` with
    ``side <= min(width, height)`` and ``face width * face height > min_face_share * side**2`` (paper: "the face region
    occupies more than 10 % of the crop"). A face that is cut by the picture's edge counts with the part inside.
    """
    left, right = (min(max(edge, 0.0), float(width)) for edge in (face[0], face[2]))
    top, bottom = (min(max(edge, 0.0), float(height)) for edge in (face[1], face[3]))
    area = (right - left) * (bottom - top)
    side = min(width, height, math.floor(math.sqrt(area / min_face_share)))
    while side > 1 and area <= min_face_share * side * side:
        side -= 1
    side = max(1, side)
    x = min(max(round((left + right - side) / 2), 0), width - side)
    y = min(max(round((top + bottom - side) / 2), 0), height - side)
    return x, y, x + side, y + side


def mask_overlap(mask: NDArray[np.bool_], face: Box) -> float:
    """The share of the face box that the mask covers, in 0..1; ``mask`` is [height, width]."""
    height, width = mask.shape
    left, right = (min(max(round(edge), 0), width) for edge in (face[0], face[2]))
    top, bottom = (min(max(round(edge), 0), height) for edge in (face[1], face[3]))
    inside = mask[top:bottom, left:right]
    return float(inside.mean()) if inside.size else 0.0


def best_mask(masks: Sequence[NDArray[np.bool_]], face: Box) -> tuple[int, float] | None:
    """The index of the mask that overlaps the face box most, and its :func:`mask_overlap`.

    ``None`` when none touches it: then the picture is dropped. Of equal ones the first counts, as segmenters give the
    surest first.
    """
    overlaps = [mask_overlap(mask, face) for mask in masks]
    best = max(range(len(overlaps)), key=lambda index: overlaps[index], default=None)
    if best is None or overlaps[best] == 0:
        return None
    return best, overlaps[best]
