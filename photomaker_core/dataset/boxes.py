"""Arithmetic of boxes."""

from __future__ import annotations

from photomaker_core.models.face_recognition import Box


def intersection_over_union(first: Box, second: Box) -> float:
    """The area that both boxes cover over the area that either does, in 0..1."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((right - left) * (bottom - top) for left, top, right, bottom in (first, second))
    return width * height / (areas - width * height)


def scaled(box: Box, scale: float) -> Box:
    """The box in a picture ``scale`` times as large."""
    left, top, right, bottom = box
    return left * scale, top * scale, right * scale, bottom * scale
