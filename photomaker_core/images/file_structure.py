"""Reads just enough of a picture file's structure to judge it before a decoder does.

The passes that a JPEG asks for, a PNG without the chunks that draw nothing, and the kind of a file. Called by
:mod:`~photomaker_core.images.picture_reading`.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_DRAWING_CHUNKS: Final = (b"IHDR", b"PLTE", b"tRNS", b"sRGB", b"eXIf", b"IDAT", b"IEND")
_MAX_PROFILE_BYTES: Final = 16 * 2**20
_HEIC_BRANDS: Final = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_AVIF_BRANDS: Final = frozenset((b"avif", b"avis"))
_SEGMENT: Final = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
"""A marker with a length after it, or the picture's end: no stuffed byte, no fill byte, no restart."""
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_HARMLESS_SCANS: Final = 32
_SIGNATURES: Final = (b"\xff\xd8\xff", _PNG_SIGNATURE, b"GIF8", b"II*\0", b"MM\0*")


def is_heic(content: bytes) -> bool:
    """Tell whether the file is a HEIF container with HEVC pictures (not AVIF, which shares the container)."""
    brands = _heif_brands(content)
    return bool(brands & _HEIC_BRANDS) and not brands & _AVIF_BRANDS


def has_known_signature(content: bytes) -> bool:
    """Tell whether the file begins as pictures do that can be read, however it goes on."""
    is_webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    return is_webp or content.startswith(_SIGNATURES) or bool(_heif_brands(content) & _AVIF_BRANDS)


def _heif_brands(content: bytes) -> set[bytes]:
    if content[4:8] != b"ftyp":
        return set()
    length = int.from_bytes(content[:4], "big")
    box = content[8 : max(12, min(length, 256))]
    return {box[place : place + 4] for place in (0, *range(8, len(box), 4))}


def jpeg_scans(content: bytes) -> int:
    """Count the passes over the picture that a JPEG asks for: 1, or 3 to about 20 where it is progressive.

    Counts until the end of the first picture; thumbnails inside metadata do not count, except that a small number is
    taken as it is. Anything that is no JPEG has 0.
    """
    if content[:2] != b"\xff\xd8":
        return 0
    if (at_most := content.count(b"\xff\xda")) <= _HARMLESS_SCANS:
        return at_most
    scans, place = 0, 2
    while found := _SEGMENT.search(content, place):
        marker = content[found.end() - 1]
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return scans


def drawing_chunks(content: bytes) -> tuple[bytes, bytes | None]:
    """A PNG with nothing but what draws its first picture, and its colour profile.

    Texts, animation frames and private chunks go, however large or damaged they are. A profile that is damaged or
    larger than 16 MB counts as none. What is no PNG comes back as it is.
    """
    if not content.startswith(_PNG_SIGNATURE):
        return content, None
    kept, profile, place = [_PNG_SIGNATURE], None, len(_PNG_SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if kind in _PNG_DRAWING_CHUNKS:
            kept.append(content[place:end])
        elif kind == b"iCCP":
            profile = _inflated_profile(content[place + 8 : end - 4])
        if kind == b"IEND":
            break
        place = end
    return b"".join(kept), profile


def _inflated_profile(chunk: bytes) -> bytes | None:
    _name, _, packed = chunk.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if unpacker.eof else None
