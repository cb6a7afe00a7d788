"""Writes one small file for each way in which the formats of uploads store a picture, as seeds to mutate.

python -m scripts.picture_formats PHOTO tests/core/data/formats
"""

from __future__ import annotations

import argparse
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

_SIZE: Final = (66, 80)
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass of an interlaced PNG the first column and row, and the steps."""


def _encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _interlaced_png(picture: Image.Image) -> bytes:
    pixels = np.asarray(picture)
    rows = b"".join(
        b"\0" + row.tobytes()
        for left, top, across, down in _ADAM7
        for row in np.ascontiguousarray(pixels[top::down, left::across])
    )
    header = struct.pack(">IIBBBBB", *picture.size, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _run_length_bmp(picture: Image.Image) -> bytes:
    """BMP's RLE8: every run as a count and a level."""
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    body = bytearray()
    for row in np.asarray(picture.convert("L"))[::-1] // 16 * 16:
        ends = [*np.flatnonzero(np.diff(row)) + 1, len(row)]
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            body += bytes((end - start, row[start]))
        body += b"\0\0"
    body += b"\0\1"
    offset = 14 + 40 + len(palette)
    information = struct.pack("<IiiHHIIiiII", 40, *picture.size, 1, 8, 1, len(body), 2835, 2835, 256, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + information + palette + bytes(body)


def _files(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    small = photo.resize(_SIZE, Image.Resampling.LANCZOS)
    grey, palette = small.convert("L"), small.quantize(32)
    few_colours = palette.convert("RGB")
    seen_through = few_colours.copy()
    seen_through.putalpha(grey)
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    frames = [small.rotate(angle) for angle in (0, 120, 240)]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = Image.Exif()
    turned[0x0112], turned[0x010E] = 6, "a portrait"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a portrait " * 20, zip=True)
    text.add_itxt("Title", "Портрет", "ru", "Название")

    yield "baseline.jpg", _encoded(small, "JPEG", quality=80, exif=turned, icc_profile=profile)
    yield "progressive.jpg", _encoded(small, "JPEG", quality=80, progressive=True)
    yield "restarts.jpg", _encoded(small, "JPEG", quality=80, subsampling=2, restart_marker_blocks=4)
    yield "grey.jpg", _encoded(grey, "JPEG", quality=80, optimize=True)
    yield "four_inks.jpg", _encoded(small.convert("CMYK"), "JPEG", quality=80)
    yield "two_pictures.jpg", _encoded(small, "MPO", save_all=True, append_images=frames[1:2], quality=70)
    yield "colours.png", _encoded(few_colours, "PNG", pnginfo=text, icc_profile=profile, exif=turned)
    yield "interlaced.png", _interlaced_png(few_colours)
    yield "palette.png", _encoded(palette, "PNG", transparency=3, bits=8)
    yield "sixteen_bits.png", _encoded(wide, "PNG")
    yield "seen_through.png", _encoded(seen_through, "PNG")
    yield "two_colours.png", _encoded(grey.convert("1"), "PNG")
    yield "frames.png", _encoded(palette, "PNG", save_all=True, append_images=[palette.rotate(90)], duration=80)
    yield "lossy.webp", _encoded(small, "WEBP", quality=70, exif=turned, icc_profile=profile)
    yield "lossless.webp", _encoded(few_colours, "WEBP", lossless=True)
    yield "seen_through.webp", _encoded(seen_through, "WEBP", quality=70)
    yield "frames.webp", _encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=40)
    yield "still.avif", _encoded(small, "AVIF", quality=60, exif=turned)
    yield "seen_through.avif", _encoded(seen_through, "AVIF", quality=60, subsampling="4:4:4")
    yield "frames.avif", _encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=30)
    yield "still.gif", _encoded(palette, "GIF", interlace=1, transparency=3)
    yield "frames.gif", _encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(90)], interlace=0)
    yield "plain.tif", _encoded(small, "TIFF", exif=turned)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"):
        yield f"{compression.removeprefix('tiff_')}.tif", _encoded(few_colours, "TIFF", compression=compression)
    yield "fax.tif", _encoded(grey.convert("1"), "TIFF", compression="group4")
    yield "real_numbers.tif", _encoded(grey.convert("F"), "TIFF", compression="tiff_adobe_deflate")
    yield "sixteen_bits.tif", _encoded(wide, "TIFF", compression="tiff_lzw")
    yield "four_inks.tif", _encoded(few_colours.convert("CMYK"), "TIFF", compression="tiff_lzw")
    yield "lab.tif", _encoded(few_colours.convert("LAB"), "TIFF", compression="tiff_lzw")
    yield "big.tif", _encoded(palette, "TIFF", big_tiff=True, compression="tiff_lzw")
    yield "colours.bmp", _encoded(small.resize((64, 66)), "BMP")
    yield "palette.bmp", _encoded(palette, "BMP")
    yield "two_colours.bmp", _encoded(grey.convert("1"), "BMP")
    yield "run_length.bmp", _run_length_bmp(grey)


def main() -> None:
    """Write the files that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with Image.open(options.photo) as photo:
        for name, content in _files(photo.convert("RGB")):
            path = options.folder / name
            if not path.exists():
                path.write_bytes(content)


if __name__ == "__main__":
    main()
