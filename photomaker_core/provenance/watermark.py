"""An invisible watermark: a tag of 32 bits in a picture's brightness that JPEG, resizing and cropping leave readable.

Spread spectrum after Cox et al. (1997), in the Fourier domain of a tile that repeats over the whole picture. Part of
the tile's coefficients is known and says where the tiles begin, whatever was cropped (template matching, Pereira and
Pun 2000); the others carry the tag with a checksum and error correction. A reader adds up all tiles, which lets the
picture itself fade and the mark stand out. Everything is deterministic. The pattern is no secret: the mark
says to whoever asks where a picture comes from; it does not withstand somebody who wants to remove it.
"""

from __future__ import annotations

import binascii
import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photomaker_core.presets.aspect_ratios import ASPECTS
from photomaker_core.provenance import convolutional_code

Floats = NDArray[np.float64]

TILE_PX: Final = 128
LEAST_SIDE_PX: Final = TILE_PX
TAG_BITS: Final = 32
PSNR_DB: Final = 42.0
LEAST_SYNC: Final = 6.5
_CHECK_BITS: Final = 16
_PAYLOAD_BITS: Final = TAG_BITS + _CHECK_BITS
_BAND: Final = (5.0, 25.0)
_SYNC_SHARE: Final = 0.35
_NEIGHBOURHOOD_PX: Final = 6
_FLAT: Final = 4.0
_SHIFTS: Final = 2 * TILE_PX
_SCALES: Final = (0.24, 2.0)
_SCALE_STEP: Final = 0.005
_PROBE_PX: Final = 640


@dataclass(frozen=True, slots=True)
class Reading:
    """A watermark that was found.

    ``tag`` has 32 bits. ``sync`` says how far the place of the tiles stands out, in standard deviations. ``agreement``
    is the share of the coded bits that were read right before correction, 0.5 to 1. ``scale`` is the picture's width
    and height as shares of what was drawn.
    """

    tag: int
    sync: float
    agreement: float
    scale: tuple[float, float]


def tag_of(operator: str) -> int:
    """The tag of an operator's name: the first 32 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(operator.strip().encode()).digest()[: TAG_BITS // 8])


def embed(picture: Image.Image, tag: int) -> Image.Image:
    """Mark an RGB picture; the result differs from it by a PSNR of about 42 dB.

    Pictures with a side below 128 pixels come back as they are: they have no room for the mark. Takes about 0.1 s for
    1024 x 1024 pixels.
    """
    rgb = picture.convert("RGB")
    if min(rgb.size) < LEAST_SIDE_PX:
        return rgb
    luma = _luma(rgb)
    _, deviation = _local(luma)
    strength = np.sqrt(deviation + _FLAT)
    tile = _tile(_payload(tag))
    rows, columns = (math.ceil(length / TILE_PX) for length in luma.shape)
    mark = np.tile(tile, (rows, columns))[: luma.shape[0], : luma.shape[1]] * strength
    allowed = 255 / 10 ** (PSNR_DB / 20)
    # Rounding adds a noise of 1/12 of its own.
    mark *= math.sqrt(allowed**2 - 1 / 12) / math.sqrt(float(np.mean(mark**2)))
    pixels = np.asarray(rgb, np.float64) + mark[:, :, None]
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), "RGB")


def read(picture: Image.Image, *, any_scale: bool = True) -> Reading | None:
    """Find the watermark in a picture, or ``None``.

    Looks at the size that the picture has and at those that it has when one of our shapes was resized; with
    ``any_scale`` then at every scale from 0.24 to 2, which takes some seconds.
    """
    rgb = picture.convert("RGB")
    if min(rgb.size) < 2 * _NEIGHBOURHOOD_PX + 1:
        return None
    residual = _residual(_luma(rgb))
    reading = _first(residual, _likely_scales(rgb.size))
    if reading is None and any_scale:
        count = math.ceil(math.log(_SCALES[1] / _SCALES[0]) / _SCALE_STEP)
        reading = _first(residual, [(one, one) for one in np.geomspace(*_SCALES, count).tolist()], _PROBE_PX)
    return reading


def _first(residual: Image.Image, scales: Iterable[tuple[float, float]], most_px: float = math.inf) -> Reading | None:
    for scale in scales:
        reading = _read_at(residual, scale, most_px)
        if reading is not None:
            return reading
    return None


def _likely_scales(size: tuple[int, int]) -> list[tuple[float, float]]:
    """The scales, across and down, at which a picture of one of our shapes has this size; the plain ones first."""
    scales = [(1.0, 1.0), (0.5, 0.5)]
    for aspect in ASPECTS.values():
        across, down = size[0] / aspect.width, size[1] / aspect.height
        if abs(across / down - 1) < 0.02 and _SCALES[0] <= across <= _SCALES[1]:
            scales.append((across, down))
    return list(dict.fromkeys(scales))


def _read_at(residual: Image.Image, scale: tuple[float, float], most_px: float) -> Reading | None:
    """Read what was drawn at this scale, from the middle of the picture where it is larger than ``most_px``."""
    size = [round(length / share) for length, share in zip(residual.size, scale, strict=True)]
    if min(size) < TILE_PX:
        return None
    window = [min(length, most_px) for length in size]
    margin = [(1 - part / whole) / 2 * length for part, whole, length in zip(window, size, residual.size, strict=True)]
    box = (margin[0], margin[1], residual.width - margin[0], residual.height - margin[1])
    scaled = residual.resize((int(window[0]), int(window[1])), Image.Resampling.BICUBIC, box)
    spectrum = _whitened(_folded(np.asarray(scaled, np.float64)))
    sync, shift = _place(spectrum)
    if sync < LEAST_SYNC:
        return None
    angle = 2 * np.pi / TILE_PX * (_BINS[:, 0] * shift[0] + _BINS[:, 1] * shift[1])
    soft = _demodulated(spectrum * np.exp(1j * angle))
    bits = convolutional_code.decode(soft)
    tag = int("".join(map(str, bits[:TAG_BITS].tolist())), 2)
    if not np.array_equal(bits, _payload_bits(tag)):
        return None
    agreement = float(np.mean(np.sign(soft) == convolutional_code.encode(bits)))
    return Reading(tag, sync, agreement, scale)


def _payload_bits(tag: int) -> NDArray[np.int8]:
    check = binascii.crc_hqx(tag.to_bytes(TAG_BITS // 8), 0xFFFF)
    text = f"{tag:0{TAG_BITS}b}{check:0{_CHECK_BITS}b}"
    return np.array([int(digit) for digit in text], np.int8)


def _payload(tag: int) -> NDArray[np.int8]:
    if not 0 <= tag < 1 << TAG_BITS:
        raise ValueError(f"a tag has {TAG_BITS} bits; {tag} does not fit")
    return convolutional_code.encode(_payload_bits(tag))


def _tile(coded: NDArray[np.int8]) -> Floats:
    """The tile that carries these coded bits, ``(TILE_PX, TILE_PX)``, of mean 0."""
    values = np.empty(len(_BINS), np.complex128)
    values[:_SYNC_COUNT] = _SIGNS[:_SYNC_COUNT, 0] + 1j * _SIGNS[:_SYNC_COUNT, 1]
    signs = _SIGNS[_SYNC_COUNT:] * coded[_BIT_OF_DIMENSION]
    values[_SYNC_COUNT:] = signs[:, 0] + 1j * signs[:, 1]
    plane = np.zeros((TILE_PX, TILE_PX), np.complex128)
    plane[_BINS[:, 0], _BINS[:, 1]] = values
    return np.fft.ifft2(plane).real


def _place(spectrum: NDArray[np.complex128]) -> tuple[float, tuple[float, float]]:
    """Find where the tiles begin: how far that place stands out, and the shift (down, across) in pixels."""
    known = _SIGNS[:_SYNC_COUNT, 0] + 1j * _SIGNS[:_SYNC_COUNT, 1]
    plane = np.zeros((_SHIFTS, _SHIFTS), np.complex128)
    plane[_BINS[:_SYNC_COUNT, 0], _BINS[:_SYNC_COUNT, 1]] = spectrum[:_SYNC_COUNT] * known.conj()
    match = np.fft.ifft2(plane).real
    down, across = np.unravel_index(match.argmax(), match.shape)
    step = TILE_PX / _SHIFTS
    height, spread = float(match[down, across]), float(match.std())
    return height / spread if spread else 0.0, (float(down) * step, float(across) * step)


def _demodulated(values: NDArray[np.complex128]) -> Floats:
    data = values[_SYNC_COUNT:]
    dimensions = np.stack([data.real, data.imag], axis=1) * _SIGNS[_SYNC_COUNT:]
    return np.bincount(_BIT_OF_DIMENSION.ravel(), dimensions.ravel(), _CODED_BITS).astype(np.float64)


def _whitened(tile: Floats) -> NDArray[np.complex128]:
    """The tile's coefficients in the band, each over the mean magnitude of its ring: no frequency drowns the others."""
    values = np.fft.fft2(tile)[_BINS[:, 0], _BINS[:, 1]]
    magnitudes = np.abs(values)
    sums = np.bincount(_RINGS, magnitudes)
    means = sums / np.maximum(np.bincount(_RINGS), 1)
    relative = values / np.maximum(means[_RINGS], 1e-9)
    return relative / np.maximum(np.abs(relative), 1.0) ** 0.5


def _folded(residual: Floats) -> Floats:
    """All tiles added up; those at the right and lower edge as far as they reach."""
    rows, columns = (math.ceil(length / TILE_PX) for length in residual.shape)
    room = ((0, rows * TILE_PX - residual.shape[0]), (0, columns * TILE_PX - residual.shape[1]))
    padded = np.pad(residual, room)
    folded: Floats = padded.reshape(rows, TILE_PX, columns, TILE_PX).sum(axis=(0, 2))
    return folded


def _residual(luma: Floats) -> Image.Image:
    """What remains of a picture without its coarse parts, equally strong everywhere: where the mark is looked for."""
    mean, deviation = _local(luma)
    residual = (luma - mean) / (deviation + _FLAT)
    return Image.fromarray(np.clip(residual, -2.5, 2.5).astype(np.float32))


def _local(luma: Floats) -> tuple[Floats, Floats]:
    """The mean and the standard deviation around each pixel."""
    mean = _box(luma)
    return mean, np.sqrt(np.maximum(_box(luma**2) - mean**2, 0.0))


def _box(values: Floats) -> Floats:
    """The mean over the square around each pixel, by running sums."""
    reach, width = _NEIGHBOURHOOD_PX, 2 * _NEIGHBOURHOOD_PX + 1
    for axis in (0, 1):
        room = [(0, 0), (0, 0)]
        room[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(values, room, mode="edge"), axis=axis)
        upper, lower = [slice(None)] * 2, [slice(None)] * 2
        upper[axis], lower[axis] = slice(width, None), slice(None, -width)
        values = (sums[tuple(upper)] - sums[tuple(lower)]) / width
    return values


def _luma(rgb: Image.Image) -> Floats:
    return np.asarray(rgb.convert("L"), np.float64)


def _key(label: str, count: int) -> NDArray[np.uint32]:
    """Numbers that are the same on every machine and with every version of numpy."""
    return np.frombuffer(hashlib.shake_256(f"photomaker watermark 1: {label}".encode()).digest(4 * count), "<u4")


def _bins() -> NDArray[np.int64]:
    """The coefficients of the band, one of each conjugate pair, in the key's order: (down, across)."""
    half = range(-TILE_PX // 2 + 1, TILE_PX // 2)
    pairs = [
        (down % TILE_PX, across % TILE_PX)
        for down in half
        for across in half
        if (down > 0 or (down == 0 and across > 0)) and _BAND[0] <= math.hypot(down, across) < _BAND[1]
    ]
    return np.array(pairs)[np.argsort(_key("order", len(pairs)), kind="stable")]


def _signed(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(indices > TILE_PX // 2, indices - TILE_PX, indices)


_BINS: Final = _signed(_bins())
_RINGS: Final = np.rint(np.hypot(_BINS[:, 0], _BINS[:, 1])).astype(np.int64)
_SIGNS: Final = np.where(_key("signs", 2 * len(_BINS)) % 2, 1, -1).reshape(-1, 2)
_SYNC_COUNT: Final = round(_SYNC_SHARE * len(_BINS))
_CODED_BITS: Final = convolutional_code.coded_length(_PAYLOAD_BITS)
_BIT_OF_DIMENSION: Final = (np.arange(2 * (len(_BINS) - _SYNC_COUNT)) % _CODED_BITS).reshape(-1, 2)
"""The coded bit that each real and imaginary part carries."""
