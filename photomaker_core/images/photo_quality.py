"""Advice about an ID photo: too small, blurred, no face or several in it.

Faces are looked for with OpenCV's cascade, which its package brings along (the extra ``faces``); without it, size and
sharpness are judged alone. Notes advise; they refuse nothing. Called by the bot when photos are added.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageFilter

_SMALL_SIDE_PX: Final = 256
_SMALL_FACE_PX: Final = 80
_JUDGED_SIDE_PX: Final = 512
_SHARP_VARIANCE: Final = 5.0
_OTHER_FACE_SHARE: Final = 0.4
_CASCADE: Final = "haarcascade_frontalface_default.xml"


class Note(Enum):
    """A piece of advice; the value is the sentence."""

    SMALL = "small: 512 pixels or more on each side work better"
    BLURRED = "blurred: a sharper photo keeps the likeness better"
    NO_FACE = "no face found: fine for artwork, else choose one that shows the face from the front"
    SEVERAL_FACES = "several faces: crop it to one person"
    SMALL_FACE = "the face is small: crop closer to it"


@dataclass(frozen=True, slots=True)
class PhotoReport:
    """``face`` is the box (left, top, right, bottom) of the largest face in pixels; ``None`` where none was found."""

    notes: tuple[Note, ...]
    face: tuple[int, int, int, int] | None


def can_find_faces() -> bool:
    """Tell whether the extra ``faces`` is installed."""
    return importlib.util.find_spec("cv2") is not None


def examine(photo: Image.Image) -> PhotoReport:
    """Judge an upright RGB photo. Slow (tens of milliseconds): keep it off an event loop."""
    notes: list[Note] = []
    if min(photo.size) < _SMALL_SIDE_PX:
        notes.append(Note.SMALL)
    if _sharpness(photo) < _SHARP_VARIANCE:
        notes.append(Note.BLURRED)
    if not can_find_faces():
        return PhotoReport(tuple(notes), None)
    faces = sorted(_faces(photo), key=lambda box: box[2] - box[0], reverse=True)
    if not faces:
        notes.append(Note.NO_FACE)
    elif faces[0][2] - faces[0][0] < _SMALL_FACE_PX:
        notes.append(Note.SMALL_FACE)
    if len([box for box in faces if box[2] - box[0] > _OTHER_FACE_SHARE * (faces[0][2] - faces[0][0])]) > 1:
        notes.append(Note.SEVERAL_FACES)
    return PhotoReport(tuple(notes), faces[0] if faces else None)


def _sharpness(photo: Image.Image) -> float:
    """The variance of the Laplacian (Pech-Pacheco et al. 2000) of the photo at a common size."""
    grey = photo.convert("L")
    grey.thumbnail((_JUDGED_SIDE_PX, _JUDGED_SIDE_PX), Image.Resampling.LANCZOS)
    kernel = ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1, offset=128)
    return float(np.asarray(grey.filter(kernel), dtype=np.float32)[1:-1, 1:-1].var())


def _faces(photo: Image.Image) -> list[tuple[int, int, int, int]]:
    grey = np.asarray(photo.convert("L"))
    smallest = max(32, min(photo.size) // 12)
    found = _cascade().detectMultiScale(grey, scaleFactor=1.1, minNeighbors=6, minSize=(smallest, smallest))
    return [(int(x), int(y), int(x + width), int(y + height)) for x, y, width, height in found]


@cache
def _cascade() -> Any:
    import cv2

    return cv2.CascadeClassifier(str(Path(cv2.__file__).with_name("data") / _CASCADE))
