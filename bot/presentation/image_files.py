"""Encoding of pictures as files: PNG with provenance, JPEG where Discord's upload limit asks for it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from photomaker_core.images.preprocessing import tile

UPLOAD_LIMIT_BYTES: Final = 10 * 1024 * 1024
_PREVIEW_SIDE_PX: Final = 256
_THUMBNAIL_SIDE_PX: Final = 160
_SOFTWARE: Final = "photomaker-bot"
_XMP: Final = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)


def encode_pictures(pictures: Sequence[Image.Image], limit_bytes: int = UPLOAD_LIMIT_BYTES) -> tuple[str, list[bytes]]:
    """Encode one message's pictures; returns the file suffix and the contents.

    PNG where all fit below ``limit_bytes`` together, else JPEG with falling quality. The metadata says
    that they are made by an AI (IPTC digital source type ``trainedAlgorithmicMedia``). Slow: keep it off
    an event loop.
    """
    files = [_png(picture) for picture in pictures]
    if sum(map(len, files)) <= limit_bytes:
        return "png", files
    for quality in (95, 85, 70):
        files = [_jpeg(picture, quality) for picture in pictures]
        if sum(map(len, files)) <= limit_bytes:
            break
    return "jpg", files


def encode_preview(previews: Sequence[Image.Image]) -> bytes:
    """Encode a job's small previews side by side as one JPEG, smoothly enlarged. Slow: keep it off an event loop."""
    enlarged = []
    for preview in previews:
        scale = _PREVIEW_SIDE_PX / max(preview.size)
        size = (round(preview.width * scale), round(preview.height * scale))
        enlarged.append(preview.resize(size, Image.Resampling.BICUBIC))
    return _jpeg(tile(enlarged, columns=2 if len(enlarged) == 4 else len(enlarged)), 80)


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
    return [_jpeg(picture, 80) for picture in small]


def _png(picture: Image.Image) -> bytes:
    info = PngInfo()
    info.add_text("Software", _SOFTWARE)
    info.add_itxt("XML:com.adobe.xmp", _XMP)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, xmp=_XMP.encode(), comment=_SOFTWARE)
    return buffer.getvalue()
