"""Drawn pictures become marked files: watermark and label in the pixels, source type and signed manifest in the file.

What cannot be done is logged and left out, a picture is never lost by it. Nothing about a person goes in: no name, no
prompt, no seed. Called by ``photomaker generate`` and by the bot where pictures are encoded; slow, keep it off an event
loop.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, replace
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from photomaker_core.provenance import watermark
from photomaker_core.provenance.certificates import Certificate
from photomaker_core.provenance.manifest import SigningError, sign
from photomaker_core.provenance.source_type import XMP

log = logging.getLogger(__name__)

_LABEL_SHARE: Final = 0.025
_LEAST_LABEL_PX: Final = 10


@dataclass(frozen=True, slots=True)
class Marking:
    """The marks that files get. ``tag`` is the watermark's, ``label`` a visible text; ``None`` leaves either out."""

    software: str
    tag: int | None = None
    certificate: Certificate | None = None
    label: str | None = None
    has_source_type: bool = True

    @property
    def of_marked_pixels(self) -> Marking:
        """The same for pictures whose pixels were marked before, such as those that are encoded once more."""
        return replace(self, tag=None, label=None)

    def marked(self, picture: Image.Image) -> Image.Image:
        """A picture with the marks that lie in its pixels."""
        try:
            if self.label is not None:
                picture = _labelled(picture, self.label)
            return picture if self.tag is None else watermark.embed(picture, self.tag)
        except Exception:
            log.exception("a picture goes without its watermark or label")
            return picture

    def png(self, picture: Image.Image) -> bytes:
        """Encode as PNG."""
        info = PngInfo()
        info.add_text("Software", self.software)
        if self.has_source_type:
            info.add_itxt("XML:com.adobe.xmp", XMP)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", pnginfo=info)
        return self._signed(buffer.getvalue(), "image/png")

    def jpeg(self, picture: Image.Image, quality: int) -> bytes:
        """Encode as JPEG of a quality from 1 to 95."""
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, comment=self.software, **self._xmp)
        return self._signed(buffer.getvalue(), "image/jpeg")

    def webp(self, picture: Image.Image, quality: int) -> bytes:
        """Encode as WebP of a quality from 1 to 100."""
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, **self._xmp)
        return self._signed(buffer.getvalue(), "image/webp")

    @property
    def _xmp(self) -> dict[str, bytes]:
        return {"xmp": XMP.encode()} if self.has_source_type else {}

    def _signed(self, content: bytes, media_type: str) -> bytes:
        if self.certificate is None:
            return content
        try:
            return sign(content, media_type, self.certificate, self.software)
        except SigningError as error:
            log.error("a picture goes unsigned: %s", error)
        except Exception:
            log.exception("a picture goes unsigned")
        return content


def _labelled(picture: Image.Image, label: str) -> Image.Image:
    """A copy with the text on a dark strip in the lower right corner."""
    labelled = picture.convert("RGB")
    labelled = labelled.copy() if labelled is picture else labelled
    draw = ImageDraw.Draw(labelled, "RGBA")
    size = max(_LEAST_LABEL_PX, _LABEL_SHARE * min(picture.size))
    font = ImageFont.load_default(size)
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    room = size / 3
    corner = (picture.width - (right - left) - 2 * room, picture.height - (bottom - top) - 2 * room)
    draw.rectangle((*corner, *picture.size), fill=(0, 0, 0, 160))
    draw.text((corner[0] + room - left, corner[1] + room - top), label, font=font, fill=(255, 255, 255, 255))
    return labelled
