"""Uploads as members send them: pictures in every form, and what is no picture."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def picture(width: int = 96, height: int = 128, seed: int = 0) -> Image.Image:
    """A made-up photo: a light head on a background with the top left corner red."""
    colour = tuple(int(value) for value in np.random.default_rng(seed).integers(40, 200, 3))
    image = Image.new("RGB", (width, height), colour)
    pen = ImageDraw.Draw(image)
    pen.ellipse((width * 0.25, height * 0.2, width * 0.75, height * 0.8), fill=(230, 190, 160))
    pen.rectangle((0, 0, width // 4, height // 4), fill=(220, 0, 0))
    return image


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def photo(seed: int = 0) -> bytes:
    return encoded(picture(seed=seed))


def rotated_by_exif() -> bytes:
    """Stored lying on its side with the EXIF note to turn it back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture().rotate(90, expand=True), exif=exif)


def png_of(width: int, height: int, bits: int, colour_type: int, row: bytes) -> bytes:
    """A PNG whose rows are all the same: as many megapixels as one likes in few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(b"\0" + row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def png_bomb(side: int = 20_000) -> bytes:
    """A PNG of side x side black pixels in few kilobytes."""
    return png_of(side, side, 1, 0, bytes(side // 8))


def many_scans(side: int, scans: int) -> bytes:
    """A small progressive JPEG that asks for ``scans`` passes more than it needs."""
    content = encoded(Image.new("L", (side, side), 128), progressive=True)
    last, end = content.rfind(b"\xff\xda"), content.rfind(b"\xff\xd9")
    return content[:end] + content[last:end] * scans + content[end:]


def heic() -> bytes:
    return struct.pack(">I", 24) + b"ftypheic" + bytes(12) + b"mdat" + bytes(200)
