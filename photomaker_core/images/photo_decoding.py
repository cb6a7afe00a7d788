"""Uploads become the photos that are stored: upright, sRGB, no metadata, of bounded size.

Work and memory are bounded before a decoder runs: by pixels, by a JPEG's passes, and by shrinking before anything is
converted. Called by the decoding processes for what members send, and directly by the commands for the user's own
files. Imports no torch: a decoding process starts in a tenth of a second.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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

from photomaker_core.errors import PhotoError
from photomaker_core.images.file_structure import drawing_chunks, is_heic, jpeg_scans
from photomaker_core.images.photo_quality import PhotoReport, examine
from photomaker_core.images.sample_levels import eight_bit_grey, has_wide_levels

MAX_UPLOAD_BYTES: Final = 10 * 1024 * 1024
MAX_STORED_SIDE_PX: Final = 1024
MIN_SIDE_PX: Final = 64
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
_ORIENTATION: Final = 0x0112
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


@dataclass(frozen=True, slots=True)
class PreparedPhoto:
    """A photo as it is stored (a JPEG), and what is to be said about it."""

    content: bytes
    report: PhotoReport


def prepare_photo(content: bytes, name: str = "This photo") -> PreparedPhoto:
    """Normalise an upload and judge the result; raises :class:`PhotoError` as :func:`normalise_photo` does."""
    stored = normalise_photo(content, name)
    return PreparedPhoto(stored, examine(load_photo(stored)))


def normalise_photo(content: bytes, name: str = "This photo") -> bytes:
    """Turn an upload into the JPEG that is stored: upright, sRGB, no metadata, longest side at most 1024.

    The first frame of an animation is taken and transparency is laid on white. The file's content counts, never its
    name. Raises :class:`PhotoError` with a sentence about ``name`` for anything that is no usable photo. Slow (tens of
    milliseconds, seconds for a hostile file): keep it off an event loop.
    """
    picture = decode_photo(content, name)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def decode_photo(content: bytes, name: str = "This photo") -> Image.Image:
    """The picture that :func:`normalise_photo` encodes; raises as it does."""
    if not content:
        raise PhotoError("{name} is empty (0 bytes). Please upload it again.", name=name)
    if len(content) > MAX_UPLOAD_BYTES:
        raise too_large(name)
    if is_heic(content):
        raise PhotoError(
            "{name} is a HEIC picture, which cannot be read here. Save it as JPEG first; on an iPhone: "
            "Settings > Camera > Formats > Most Compatible, or share the photo by e-mail to yourself.",
            name=name,
        )
    with warnings.catch_warnings():
        # Pillow warns of metadata that is odd; none of it is used.
        warnings.simplefilter("ignore")
        picture = _decoded(content, name)
    picture.thumbnail((MAX_STORED_SIDE_PX, MAX_STORED_SIDE_PX), Image.Resampling.LANCZOS)
    return picture


def open_photo(path: str | Path) -> Image.Image:
    """Open a photo file as :func:`normalise_photo` would store it: upright, sRGB, at most 1024 pixels on a side.

    Raises :class:`PhotoError` where the file cannot be read or is no usable photo.
    """
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PhotoError("The photo {path} cannot be read: {reason}.", path=path, reason=error.strerror) from error
    return decode_photo(content, path.name)


def load_photo(content: bytes) -> Image.Image:
    """Open what :func:`normalise_photo` made."""
    return Image.open(io.BytesIO(content)).convert("RGB")


def too_large(name: str) -> PhotoError:
    """The error of an upload over the limit; who knows the size beforehand need not read it."""
    return PhotoError(
        "{name} is larger than {limit} MB. Please upload a smaller copy.", name=name, limit=MAX_UPLOAD_BYTES // 2**20
    )


def _decoded(content: bytes, name: str) -> Image.Image:
    drawn, png_profile = drawing_chunks(content)
    try:
        picture = Image.open(io.BytesIO(drawn), formats=[one for one in _FORMATS if one in Image.OPEN])
        _check_work(picture, drawn, name)
        turn = upright_turn(picture)
        _check_sides(picture.size if turn not in _ON_THEIR_SIDE else picture.size[::-1], name)
        profile = png_profile or picture.info.get("icc_profile")
        picture.draft(None, (2 * MAX_STORED_SIDE_PX, 2 * MAX_STORED_SIDE_PX))
        picture.seek(0)
        picture.load()
        small = _srgb(_shrunk(picture, name), profile)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(name, _MAX_PIXELS) from error
    except UnidentifiedImageError as error:
        raise PhotoError(
            "{name} is not a picture that can be read here. Please use a JPEG, PNG or WebP file.", name=name
        ) from error
    except MemoryError as error:
        raise PhotoError("{name} needs too much memory. Please upload a smaller copy.", name=name) from error
    except DAMAGE_ERRORS as error:
        raise PhotoError("{name} is damaged or cut off. Please upload it again.", name=name) from error
    plain = small if turn is None else small.transpose(turn)
    plain.info = {}
    return plain


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


def _check_work(picture: Image.Image, content: bytes, name: str) -> None:
    pixels = picture.width * picture.height
    limit = _MAX_PIXELS_BY_FORMAT.get(picture.format or "", _MAX_PIXELS)
    if pixels > limit:
        raise _too_many_pixels(name, limit)
    passes = jpeg_scans(content)
    if pixels * passes > _MAX_SCANNED_PIXELS:
        raise PhotoError(
            "{name} is a progressive JPEG of {passes} passes, which takes too long to read. "
            "Please save it as an ordinary JPEG.",
            name=name,
            passes=passes,
        )


def _check_sides(size: tuple[int, int], name: str) -> None:
    """Refuse what is too small as it is, or would be after its longest side is brought down to what is stored."""
    values = {"name": name, "width": size[0], "height": size[1]}
    if min(size) < MIN_SIDE_PX:
        raise PhotoError(
            "{name} is only {width} x {height} pixels. Please use one with at least {least} pixels on each side.",
            **values,
            least=MIN_SIDE_PX,
        )
    if min(size) * MAX_STORED_SIDE_PX < max(size) * MIN_SIDE_PX:
        raise PhotoError(
            "{name} is too long and narrow ({width} x {height} pixels). Please crop it to the person.", **values
        )


def upright_turn(picture: Image.Image) -> Image.Transpose | None:
    """The transposition that turns an opened picture upright; ``None`` for one that is. Ask before it is loaded."""
    return _TURNS.get(_orientation(picture))


def _orientation(picture: Image.Image) -> int:
    """The one number of the EXIF data that is used; damage anywhere in it means upright."""
    try:
        exif = picture.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        # A TIFF turns itself by its tags while it loads, and fails with those that are damaged.
        for tag in list(exif):
            del exif[tag]
    except DAMAGE_ERRORS:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _shrunk(picture: Image.Image, name: str) -> Image.Image:
    """The picture in L, RGB, CMYK or LAB at up to twice the stored size, with transparency on white."""
    factor = max(1, max(picture.size) // (2 * MAX_STORED_SIDE_PX))
    if has_wide_levels(picture):
        grey = None if min(picture.size) < factor else eight_bit_grey(picture, factor)
        if grey is None:
            raise PhotoError(
                "{name} shows nothing: its pixels are all the same, or its numbers are no brightness. "
                "Please save it as an ordinary JPEG or PNG.",
                name=name,
            )
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


def _too_many_pixels(name: str, limit: int) -> PhotoError:
    return PhotoError(
        "{name} has too many pixels. Please upload a copy of at most {limit} megapixels.",
        name=name,
        limit=limit // 1_000_000,
    )
