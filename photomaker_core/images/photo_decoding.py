"""Uploads become the photos that are stored: upright, sRGB, no metadata, of bounded size.

What cannot be one gets the sentence that its member reads. Called by the decoding processes for what members send, and
directly by the commands for the user's own files.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from photomaker_core.errors import PhotoError
from photomaker_core.images.photo_quality import PhotoReport, examine
from photomaker_core.images.picture_reading import Fault, UnreadablePictureError, read_picture

MAX_UPLOAD_BYTES: Final = 10 * 1024 * 1024
MAX_STORED_SIDE_PX: Final = 1024
MIN_SIDE_PX: Final = 64
_LEAST_DIFFERENCE: Final = 8
"""Levels of 255 between the darkest and the lightest of a picture that shows something, be it in the dark."""


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
    try:
        picture = read_picture(content, MAX_STORED_SIDE_PX, lambda size: _check_sides(size, name))
    except UnreadablePictureError as error:
        raise _sentence(error, name) from error
    picture.thumbnail((MAX_STORED_SIDE_PX, MAX_STORED_SIDE_PX), Image.Resampling.LANCZOS)
    if all(high - low < _LEAST_DIFFERENCE for low, high in _channel_ranges(picture)):
        raise _sentence(UnreadablePictureError(Fault.SHOWS_NOTHING), name)
    return picture


def open_photo(path: str | Path) -> Image.Image:
    """Open a photo file as :func:`normalise_photo` would store it: upright, sRGB, at most 1024 pixels on a side.

    Raises :class:`PhotoError` where the file cannot be read or is no usable photo.
    """
    path = Path(path)
    return decode_photo(read_photo(path), path.name)


def read_photo(path: Path) -> bytes:
    """The content of a photo file, or of a larger one no more than what :func:`decode_photo` refuses it by.

    Raises :class:`PhotoError` where it cannot be read.
    """
    try:
        with path.expanduser().open("rb") as file:
            return file.read(MAX_UPLOAD_BYTES + 1)
    except OSError as error:
        raise PhotoError("The photo {path} cannot be read: {reason}.", path=path, reason=error.strerror) from error


def load_photo(content: bytes) -> Image.Image:
    """Open what :func:`normalise_photo` made."""
    return Image.open(io.BytesIO(content)).convert("RGB")


def too_large(name: str) -> PhotoError:
    """The error of an upload over the limit; who knows the size beforehand need not read it."""
    return PhotoError(
        "{name} is larger than {limit} MB. Please upload a smaller copy.", name=name, limit=MAX_UPLOAD_BYTES // 2**20
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


def _channel_ranges(picture: Image.Image) -> list[tuple[int, int]]:
    """The least and the greatest number of each channel."""
    return [channel.getextrema() for channel in picture.split()]  # type: ignore[misc]


def _sentence(error: UnreadablePictureError, name: str) -> PhotoError:
    match error.fault:
        case Fault.NO_PICTURE:
            return PhotoError(
                "{name} is not a picture that can be read here. Please use a JPEG, PNG or WebP file.", name=name
            )
        case Fault.HEIC:
            return PhotoError(
                "{name} is a HEIC picture, which cannot be read here. Save it as JPEG first; on an iPhone: "
                "Settings > Camera > Formats > Most Compatible, or share the photo by e-mail to yourself.",
                name=name,
            )
        case Fault.DAMAGED:
            return PhotoError("{name} is damaged or cut off. Please upload it again.", name=name)
        case Fault.TOO_MANY_PIXELS:
            return PhotoError(
                "{name} has too many pixels. Please upload a copy of at most {limit} megapixels.",
                name=name,
                limit=error.number // 1_000_000,
            )
        case Fault.TOO_MANY_PASSES:
            return PhotoError(
                "{name} is a progressive JPEG of {passes} passes, which takes too long to read. "
                "Please save it as an ordinary JPEG.",
                name=name,
                passes=error.number,
            )
        case Fault.TOO_MUCH_MEMORY:
            return PhotoError("{name} needs too much memory. Please upload a smaller copy.", name=name)
        case Fault.SHOWS_NOTHING:
            return PhotoError(
                "{name} shows nothing: its pixels are all the same, or its numbers are no brightness. "
                "Please save it as an ordinary JPEG or PNG.",
                name=name,
            )
