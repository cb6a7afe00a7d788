"""Says what a picture file carries: manifest, source type, watermark. Called by ``photomaker-bot verify``."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from photomaker_core.errors import PhotoError
from photomaker_core.provenance.manifest import ManifestReading, read_manifest
from photomaker_core.provenance.source_type import declared_source_type
from photomaker_core.provenance.watermark import Reading, read

_MEDIA_TYPES: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_MOST_BYTES: Final = 64 * 2**20
_MOST_PIXELS: Final = 40_000_000


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a file. ``source_type`` is the one that its XMP names."""

    manifest: ManifestReading
    source_type: str | None
    watermark: Reading | None


def inspect_picture(path: Path, trusted: bytes | None = None) -> Inspection:
    """Inspect a PNG, JPEG or WebP file; ``trusted`` holds certificates, in PEM, whose signatures count as trusted.

    Takes some seconds where no watermark is found at the likely sizes. Raises :class:`PhotoError` for what is no such
    file, cannot be read, or is too large.
    """
    content = _content(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=list(_MEDIA_TYPES)) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    raise PhotoError("{path} has too many pixels to be inspected.", path=str(path))
                media_type = _MEDIA_TYPES[picture.format or ""]
                source_type = declared_source_type(picture)
                pixels = picture.convert("RGB")
    except PhotoError:
        raise
    except Exception as error:
        # Broken files make Pillow raise nearly anything.
        raise PhotoError("{path} is no PNG, JPEG or WebP picture, or it is damaged.", path=str(path)) from error
    return Inspection(read_manifest(content, media_type, trusted), source_type, read(pixels))


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise PhotoError("{path} is a folder; name one picture.", path=str(path))
        if not path.is_file():
            raise PhotoError("There is no file {path}.", path=str(path))
        if path.stat().st_size > _MOST_BYTES:
            raise PhotoError("{path} is too large to be inspected.", path=str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PhotoError("{path} cannot be read: {reason}.", path=str(path), reason=reason) from error
