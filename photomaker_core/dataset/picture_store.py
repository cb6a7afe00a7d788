"""Pictures and masks as files named by their content, and the one place that opens what strangers made.

Nothing that a source says (names, paths, types) becomes part of a path here. Called by the stages.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError

from photomaker_core.images.photo_decoding import DAMAGE_ERRORS, upright_turn

MAX_PIXELS: Final = 100_000_000
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_ON_ITS_SIDE: Final = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)


class BrokenPictureError(Exception):
    """The bytes are no picture that can be used; the message is the reason of the drop."""


@dataclass(frozen=True, slots=True)
class PictureStore:
    """Files ``folder/ab/abcdef...`` named by the SHA-256 of what they hold."""

    folder: Path

    def put(self, content: bytes) -> str:
        """Store the bytes, once; returns their name."""
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
            partial.write_bytes(content)
            partial.replace(path)
        return name

    def get(self, name: str) -> bytes:
        return self._path(name).read_bytes()

    def open(self, name: str) -> Image.Image:
        """The picture upright in RGB; raises :class:`BrokenPictureError`."""
        return open_picture(self.get(name))

    def put_mask(self, mask: Image.Image) -> str:
        """Store a mask (mode L) as PNG."""
        buffer = io.BytesIO()
        mask.save(buffer, "PNG")
        return self.put(buffer.getvalue())

    def open_mask(self, name: str) -> Image.Image:
        return Image.open(io.BytesIO(self.get(name))).convert("L")

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name


def picture_size(content: bytes) -> tuple[int, int]:
    """Width and height of the upright picture from its header alone; raises :class:`BrokenPictureError`."""
    with _opened(content) as picture:
        return (picture.height, picture.width) if upright_turn(picture) in _ON_ITS_SIDE else picture.size


def open_picture(content: bytes) -> Image.Image:
    """Decode a stranger's bytes: upright, RGB, transparency on white, first frame.

    Raises :class:`BrokenPictureError` for what is no picture, is damaged, or would unpack to more than
    :data:`MAX_PIXELS`.
    """
    with _opened(content) as picture:
        try:
            turn = upright_turn(picture)
            picture.load()
            upright = picture if turn is None else picture.transpose(turn)
            if upright.has_transparency_data:
                layered = upright.convert("RGBA")
                return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
            return upright.convert("RGB")
        except Image.DecompressionBombError as error:
            raise BrokenPictureError("too many pixels") from error
        except DAMAGE_ERRORS as error:
            raise BrokenPictureError("damaged or cut off") from error


def _opened(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise BrokenPictureError("too many pixels") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise BrokenPictureError("no picture") from error
    if picture.width * picture.height > MAX_PIXELS:
        raise BrokenPictureError("too many pixels")
    return picture
