"""Pictures and masks as files named by their content.

Nothing that a source says (names, paths, types) becomes part of a path here. Called by the stages.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from photomaker_core.images.picture_reading import read_picture


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
        """The picture upright in RGB; raises :class:`~.picture_reading.UnreadablePictureError`."""
        return read_picture(self.get(name))

    def put_mask(self, mask: Image.Image) -> str:
        """Store a mask (mode L) as PNG."""
        buffer = io.BytesIO()
        mask.save(buffer, "PNG")
        return self.put(buffer.getvalue())

    def open_mask(self, name: str) -> Image.Image:
        return Image.open(io.BytesIO(self.get(name))).convert("L")

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name
