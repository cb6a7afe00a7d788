"""Grey pictures with more than 8 bits, or with real numbers, as the 8 bits that they mean.

The file does not say what its white is: 12 bits of a camera lie in 16 bits, real numbers reach 1, 255 or anything.
Called by :mod:`~photomaker_core.images.photo_decoding`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BITS: Final = (8, 10, 12, 14, 16, 20, 24, 28, 31, 32)
_REAL_TOPS: Final = (1.0, 255.0, 65535.0)
_LEAST_FILLED: Final = 1 / 8
_LEAST_SPAN: Final = 1e-30
_STRIP_PIXELS: Final = 2**20
_SAMPLE_FORMAT_TAG: Final = 339
_UNSIGNED: Final = 1
_PHOTOMETRIC_TAG: Final = 262
_WHITE_IS_ZERO: Final = 0

Levels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Range:
    low: float
    high: float


def has_wide_levels(picture: Image.Image) -> bool:
    """Tell whether the picture's numbers need more than 8 bits."""
    return picture.mode.startswith("I;16") or picture.mode in ("I", "F")


def eight_bit_grey(picture: Image.Image, factor: int) -> Image.Image | None:
    """The picture in mode L, each ``factor`` x ``factor`` pixels averaged; ``None`` where it shows nothing.

    White is the top of the smallest usual range that holds every number. Where the picture would fill less than an
    eighth of that, or has negative numbers, it is stretched between its own darkest and lightest half percent. NaN and
    infinity count as black.
    """
    levels = _averaged(picture, factor)
    finite = levels[np.isfinite(levels)]
    if finite.size == 0:
        return None
    white = _usual_range(finite, is_real=picture.mode == "F")
    scaled = (levels - white.low) / max(white.high - white.low, _LEAST_SPAN) * 255
    if _is_negative_tiff(picture):
        scaled = 255 - scaled
    grey = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255).round().astype(np.uint8)
    darkest, lightest = np.percentile(grey, (0.5, 99.5))
    return Image.fromarray(grey) if lightest - darkest >= 2 else None


def _averaged(picture: Image.Image, factor: int) -> Levels:
    """Averages [H / factor, W / factor], strip by strip: a whole copy in real numbers would be four times the file."""
    width, height = picture.width // factor, picture.height // factor
    unsigned = picture.mode == "I" and _is_unsigned_tiff(picture)
    averages = np.empty((height, width), np.float32)
    rows = max(1, _STRIP_PIXELS // (width * factor * factor))
    for top in range(0, height, rows):
        count = min(rows, height - top)
        strip = np.asarray(picture.crop((0, top * factor, width * factor, (top + count) * factor)))
        numbers = (strip.view(np.uint32) if unsigned else strip).astype(np.float32)
        known = np.isfinite(numbers)
        if known.all():
            averages[top : top + count] = _block_sums(numbers, factor) / factor**2
        else:
            counts = _block_sums(known.astype(np.float32), factor)
            sums = _block_sums(np.where(known, numbers, 0), factor)
            averages[top : top + count] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return averages


def _block_sums(numbers: Levels, factor: int) -> Levels:
    rows = numbers.reshape(-1, factor, numbers.shape[1]).sum(axis=1)
    sums: Levels = rows.reshape(rows.shape[0], -1, factor).sum(axis=2)
    return sums


def _usual_range(finite: Levels, *, is_real: bool) -> _Range:
    low, high = float(finite.min()), float(finite.max())
    darkest, lightest = (float(one) for one in np.percentile(finite, (0.5, 99.5)))
    tops = _REAL_TOPS if is_real else tuple(2.0**bits - 1 for bits in _BITS)
    if low >= 0:
        if not is_real and high <= 65535 and lightest >= 65535 * _LEAST_FILLED:
            return _Range(0, 65535)
        top = next((one for one in tops if high <= one), None)
        if top is not None and lightest >= top * _LEAST_FILLED:
            return _Range(0, top)
    elif is_real and low >= -1 and high <= 1 and lightest - darkest >= 2 * _LEAST_FILLED:
        return _Range(-1, 1)
    return _Range(darkest, lightest) if lightest > darkest else _Range(low, high)


def _is_negative_tiff(picture: Image.Image) -> bool:
    """Whether 0 is white, which Pillow heeds in pictures of up to 8 bits alone."""
    tags: Any = getattr(picture, "tag_v2", None)
    return tags is not None and tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO


def _is_unsigned_tiff(picture: Image.Image) -> bool:
    tags: Any = getattr(picture, "tag_v2", None)
    return tags is not None and tags.get(_SAMPLE_FORMAT_TAG, (_UNSIGNED,)) in (_UNSIGNED, (_UNSIGNED,))
