"""Reads pictures that strangers made: upright, sRGB, within bounded work and memory.

Work and memory are bounded before a decoder runs: by pixels, by a JPEG's passes, and, where a small picture is asked
for, by shrinking before anything is converted. The file's content counts, never its name. Called for uploads by
:mod:`~photomaker_core.images.photo_decoding` and for datasets by the picture store. Imports no torch: a decoding
process starts in a tenth of a second.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

# Registered by hand: Pillow's own registration loads forty formats that are never asked for.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from photomaker_core.images.file_structure import (
    drawing_chunks,
    has_known_signature,
    is_heic,
    jpeg_scans,
)
from photomaker_core.images.orientation import DAMAGE_ERRORS, orientation_of
from photomaker_core.images.sample_levels import eight_bit_grey, has_wide_levels

_MAX_PIXELS: Final = 64_000_000
_MAX_PIXELS_BY_FORMAT: Final = {"WEBP": 40_000_000, "AVIF": 40_000_000}
"""Their decoders hold several copies of the whole picture."""
_MAX_SCANNED_PIXELS: Final = 2_500_000_000
"""Pixels times passes of a JPEG: about two seconds. 64 megapixels in 39 passes, where 10 are usual."""
_PLUGINS: Final = (
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
    GifImagePlugin,
    BmpImagePlugin,
    TiffImagePlugin,
    AvifImagePlugin,
)
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_STRIP_PIXELS: Final = 2**21
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_THEIR_SIDE: Final = frozenset(
    (Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90)
)


class Fault(Enum):
    """Why a file cannot be read as a picture; the value is the reason in short."""

    NO_PICTURE = "no picture"
    HEIC = "a HEIC picture"
    DAMAGED = "damaged or cut off"
    TOO_MANY_PIXELS = "too many pixels"
    TOO_MANY_PASSES = "too many passes"
    TOO_MUCH_MEMORY = "too much memory"
    SHOWS_NOTHING = "shows nothing"


class UnreadablePictureError(Exception):
    """The bytes are no picture that can be used.

    ``number`` is the most pixels of :attr:`Fault.TOO_MANY_PIXELS`, the passes of :attr:`Fault.TOO_MANY_PASSES`.
    """

    def __init__(self, fault: Fault, number: int = 0) -> None:
        super().__init__(fault.value)
        self.fault, self.number = fault, number


def read_picture(
    content: bytes, about_px: int | None = None, check_size: Callable[[tuple[int, int]], None] | None = None
) -> Image.Image:
    """Decode a stranger's bytes: upright, sRGB, first frame, transparency on white, without metadata.

    With ``about_px`` the longest side of a large picture comes back at two to four times that, and no full copy of it
    is converted. ``check_size`` is called with the upright picture's width and height before anything is decoded that
    the header does not need; what it raises goes to the caller. Raises :class:`UnreadablePictureError`. Slow (tens of
    milliseconds, seconds for a hostile file).
    """
    with warnings.catch_warnings():
        # Pillow warns of metadata that is odd; none of it is used.
        warnings.simplefilter("ignore")
        drawn, png_profile = drawing_chunks(content)
        with _faults_named(content):
            picture = _opened(drawn)
            turn = _upright_turn(picture)
        if check_size is not None:
            check_size(picture.size[::-1] if turn in _ON_THEIR_SIDE else picture.size)
        with _faults_named(content):
            profile = png_profile or picture.info.get("icc_profile")
            if about_px is not None:
                picture.draft(None, (2 * about_px, 2 * about_px))
            picture.seek(0)
            picture.load()
            plain = _srgb(_shrunk(picture, about_px), profile)
    upright = plain if turn is None else plain.transpose(turn)
    upright.info = {}
    return upright


@contextmanager
def _faults_named(content: bytes) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError as error:
        raise UnreadablePictureError(Fault.TOO_MANY_PIXELS, _MAX_PIXELS) from error
    except UnidentifiedImageError as error:
        fault = Fault.DAMAGED if has_known_signature(content) else Fault.NO_PICTURE
        raise UnreadablePictureError(fault) from error
    except MemoryError as error:
        raise UnreadablePictureError(Fault.TOO_MUCH_MEMORY) from error
    except DAMAGE_ERRORS as error:
        raise UnreadablePictureError(Fault.DAMAGED) from error


def _opened(content: bytes) -> Image.Image:
    if is_heic(content):
        raise UnreadablePictureError(Fault.HEIC)
    picture = Image.open(io.BytesIO(content), formats=[one for one in _FORMATS if one in Image.OPEN])
    pixels = picture.width * picture.height
    limit = _MAX_PIXELS_BY_FORMAT.get(picture.format or "", _MAX_PIXELS)
    if pixels > limit:
        raise UnreadablePictureError(Fault.TOO_MANY_PIXELS, limit)
    passes = jpeg_scans(content)
    if pixels * passes > _MAX_SCANNED_PIXELS:
        raise UnreadablePictureError(Fault.TOO_MANY_PASSES, passes)
    return picture


def _upright_turn(picture: Image.Image) -> Image.Transpose | None:
    """The transposition that turns an opened picture upright; ``None`` for one that is. Ask before it is loaded."""
    turn = _TURNS.get(orientation_of(picture))
    try:
        exif = picture.getexif()
        # A TIFF turns itself by its tags while it loads, and fails with those that are damaged.
        for tag in list(exif):
            del exif[tag]
    except DAMAGE_ERRORS:
        return turn
    return turn


def _shrunk(picture: Image.Image, about_px: int | None) -> Image.Image:
    """The picture in L, RGB, CMYK or LAB, where asked at two to four times ``about_px``, transparency on white."""
    factor = 1 if about_px is None else max(1, max(picture.size) // (2 * about_px))
    if has_wide_levels(picture):
        grey = None if min(picture.size) < factor else eight_bit_grey(picture, factor)
        if grey is None:
            raise UnreadablePictureError(Fault.SHOWS_NOTHING)
        return grey
    if picture.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        return _in_strips(picture, factor, _on_white)
    if picture.mode not in ("L", "RGB", "CMYK", "LAB"):
        return _in_strips(picture, factor, lambda strip: strip.convert("RGB"))
    return picture.reduce(factor) if factor > 1 else picture


def _in_strips(picture: Image.Image, factor: int, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert and shrink strip by strip, so that no converted copy of the whole picture exists."""
    shrunk = Image.new("RGB", (-(-picture.width // factor), -(-picture.height // factor)))
    rows = factor * max(1, _STRIP_PIXELS // (picture.width * factor))
    for top in range(0, picture.height, rows):
        strip = convert(picture.crop((0, top, picture.width, min(top + rows, picture.height))))
        shrunk.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return shrunk


def _on_white(picture: Image.Image) -> Image.Image:
    layered = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def _srgb(picture: Image.Image, profile: Any) -> Image.Image:
    """Convert by the file's colour profile; one that is damaged or of another kind of picture is ignored."""
    if isinstance(profile, bytes) and profile:
        try:
            source = ImageCms.getOpenProfile(io.BytesIO(profile))
            mode = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}.get(source.profile.xcolor_space)
            if mode in ("CMYK", "LAB") and picture.mode != mode:
                mode = None
            if mode is not None:
                converted = ImageCms.profileToProfile(
                    picture.convert(mode),
                    source,
                    ImageCms.createProfile("sRGB"),
                    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return picture.convert("RGB")
