"""The orientation that a picture file asks for, in whatever form its EXIF data has it.

The norm has one number of 16 bits in the first EXIF segment. Files that other programs made have a longer or a shorter
one, text, or a fraction, and a segment of their own after the camera's. Called by
:mod:`~photomaker_core.images.picture_reading`.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from numbers import Rational
from typing import Any, Final

from PIL import Image, JpegImagePlugin

_ORIENTATION: Final = 0x0112
_EXIF_START: Final = b"Exif\0"

DAMAGE_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    AttributeError,
    RuntimeError,
)
"""Errors of Pillow's decoders for files that break their rules."""


def orientation_of(picture: Image.Image) -> int:
    """1 to 8 of a picture that is opened and not yet loaded; 1, upright, where damage leaves none."""
    for exif in _exif_blocks(picture):
        try:
            orientation = _whole_number(exif.get(_ORIENTATION))
        except DAMAGE_ERRORS:
            continue
        if 1 <= orientation <= 8:
            return orientation
    return 1


def _exif_blocks(picture: Image.Image) -> Iterator[Image.Exif]:
    """The data as Pillow reads it, XMP's orientation too, and then the segments of a JPEG one by one."""
    with contextlib.suppress(*DAMAGE_ERRORS):
        yield picture.getexif()
    if not isinstance(picture, JpegImagePlugin.JpegImageFile):
        return
    for marker, segment in picture.applist:
        if marker == "APP1" and segment.startswith(_EXIF_START):
            exif = Image.Exif()
            try:
                exif.load(segment)
            except DAMAGE_ERRORS:
                continue
            yield exif


def _whole_number(value: Any) -> int:
    """A tag's value as a number; 0 for one that is none. The first of several counts."""
    if isinstance(value, tuple) and value:
        value = value[0]
    if isinstance(value, bytes):
        value = value[0] if value and value[0] <= 8 else value.decode("ascii")
    if isinstance(value, str):
        value = int(value.strip(" \0"))
    if isinstance(value, Rational | float) and float(value).is_integer():
        return int(float(value))
    return 0
