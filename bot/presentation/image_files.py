"""Encoding of pictures as files: PNG with provenance, JPEG where Discord's upload limit asks for it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image

from photomaker_core.images.preprocessing import tile
from photomaker_core.provenance.marking import Marking

UPLOAD_LIMIT_BYTES: Final = 10 * 1024 * 1024
_PREVIEW_SIDE_PX: Final = 256
_THUMBNAIL_SIDE_PX: Final = 160
_BLURRED_SIDE_PX: Final = 10
"""So few pixels of a picture are left that no face and no body can be made out."""
_SMALL: Final = Marking("photomaker-bot")


def encode_pictures(
    pictures: Sequence[Image.Image], marking: Marking, limit_bytes: int = UPLOAD_LIMIT_BYTES
) -> tuple[str, list[bytes]]:
    """Encode one message's pictures; returns the file suffix and the contents.

    PNG where all fit below ``limit_bytes`` together, else JPEG with falling quality. The metadata says
    and the pixels carry what ``marking`` asks for. Slow: keep it off an event loop.
    """
    pictures = [marking.marked(picture) for picture in pictures]
    files = [marking.png(picture) for picture in pictures]
    if sum(map(len, files)) <= limit_bytes:
        return "png", files
    for quality in (95, 85, 70):
        files = [marking.jpeg(picture, quality) for picture in pictures]
        if sum(map(len, files)) <= limit_bytes:
            break
    return "jpg", files


def blurred(picture: Image.Image) -> Image.Image:
    """A picture of the same size that shows colours alone; nothing brings back what it showed."""
    scale = _BLURRED_SIDE_PX / max(picture.size)
    few = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
    return picture.resize(few, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BICUBIC)


def blurred_file(content: bytes, marking: Marking) -> bytes:
    """The same of an encoded picture; raises ``OSError`` for what is none. Slow: keep it off an event loop."""
    _, (encoded,) = encode_pictures([blurred(Image.open(io.BytesIO(content)).convert("RGB"))], marking)
    return encoded


def encode_preview(previews: Sequence[Image.Image]) -> bytes:
    """Encode a job's small previews side by side as one JPEG, smoothly enlarged. Slow: keep it off an event loop."""
    enlarged = []
    for preview in previews:
        scale = _PREVIEW_SIDE_PX / max(preview.size)
        size = (round(preview.width * scale), round(preview.height * scale))
        enlarged.append(preview.resize(size, Image.Resampling.BICUBIC))
    return _SMALL.jpeg(tile(enlarged, columns=2 if len(enlarged) == 4 else len(enlarged)), 80)


def encode_photo_sheet(photos: Sequence[Image.Image], columns: int) -> bytes:
    """Encode photos side by side as one JPEG that is not marked as made by an AI. Slow: keep it off an event loop."""
    buffer = io.BytesIO()
    tile(photos, columns=min(columns, len(photos))).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def encode_thumbnails(pictures: Sequence[Image.Image]) -> list[bytes]:
    """Encode a small JPEG of each picture. Slow: keep it off an event loop."""
    small = [picture.copy() for picture in pictures]
    for picture in small:
        picture.thumbnail((_THUMBNAIL_SIDE_PX, _THUMBNAIL_SIDE_PX), Image.Resampling.LANCZOS)
    return [_SMALL.jpeg(picture, 80) for picture in small]
