"""Bytes and texts that nobody meant to send, each the same for the same random numbers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NUMBERS = (0, 1, 2, 3, 7, 8, 63, 64, 127, 128, 255, 256, 1023, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_HEADER_BYTES = 400


def mutated(content: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """A file with one to eight faults, some of them parts of others; the sums of a PNG's chunks are often right."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3, 5, 8))):
        random.choice(_FAULTS)(changed, others, random)
    if changed.startswith(_PNG_SIGNATURE) and random.random() < 0.7:
        return _with_right_sums(bytes(changed))
    return bytes(changed)


def _place(content: bytearray, random: Random) -> int:
    """Headers are where most decisions are made."""
    end = len(content) if random.random() < 0.5 else min(len(content), _HEADER_BYTES)
    return random.randrange(end) if end else 0


def _flip(content: bytearray, _others: Sequence[bytes], random: Random) -> None:
    if content:
        content[_place(content, random)] ^= 1 << random.randrange(8)


def _put(content: bytearray, _others: Sequence[bytes], random: Random) -> None:
    if content:
        content[_place(content, random)] = random.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, random.randrange(256)))


def _count(content: bytearray, _others: Sequence[bytes], random: Random) -> None:
    """Another number of 16 or 32 bits: lengths, offsets, sides."""
    size, number = random.choice(((2, "H"), (4, "I"))), random.choice(_NUMBERS)
    place = _place(content, random)
    packed = struct.pack(random.choice("<>") + size[1], number % 2 ** (8 * size[0]))
    content[place : place + size[0]] = packed


def _cut(content: bytearray, _others: Sequence[bytes], random: Random) -> None:
    place = _place(content, random)
    del content[place : place + random.choice((1, 2, 4, 12, random.randrange(1, 400), len(content)))]


def _double(content: bytearray, _others: Sequence[bytes], random: Random) -> None:
    place = _place(content, random)
    piece = content[place : place + random.choice((1, 4, 12, random.randrange(1, 400)))]
    content[place:place] = piece * random.choice((1, 1, 2, 16))


def _graft(content: bytearray, others: Sequence[bytes], random: Random) -> None:
    other = random.choice(others)
    start = random.randrange(len(other))
    piece = other[start : start + random.randrange(1, 600)]
    place = _place(content, random)
    content[place : place + random.choice((0, len(piece)))] = piece


def _move(content: bytearray, _others: Sequence[bytes], random: Random) -> None:
    place, length = _place(content, random), random.randrange(1, 200)
    piece = content[place : place + length]
    del content[place : place + length]
    target = _place(content, random)
    content[target:target] = piece


_FAULTS: tuple[Callable[[bytearray, Sequence[bytes], Random], None], ...] = (
    _flip, _flip, _put, _put, _count, _count, _count, _cut, _double, _graft, _move,
)  # fmt: skip


def _with_right_sums(content: bytes) -> bytes:
    parts, place = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            break
        parts += [content[place:end], struct.pack(">I", zlib.crc32(content[place + 4 : end]))]
        place = end + 4
    return b"".join([*parts, content[place:]])


_PIECES = (
    "a man img", "img", " IMG ", "a woman", "woman", "man", "girl", "person", "two men", "男孩", "少女 img", "photo",
    "with", "(", ")", "((", "))", "[", "]", "(x:1.2)", ":1.3)", ":", ":nan)", ":1e999)", ":-1)", "[a|b]", "[a:b:0.5]",
    "\\(", "\\", "\\\\", "|", "`", "``", "```", "*", "**", "_", "__", "~~", "||", ">", "> ", ">>> ", "# ", "-# ", "1. ",
    "@everyone", "@here", "<@1>", "<@&2>", "<#3>", "<t:0:R>", "</imagine:1>", "<:a:1>", "[a](http://b.c)",
    "discord.gg/x",
    "http://", "https://a.b/c?d=e#f", "<https://a>", "www.a.b", "mailto:a@b.c", "{", "}", "{}", "{name}",
    "{0}", "{0.__class__}",
    "%s", "%(a)s", "%n", "$(id)", "`id`", "'; DROP TABLE photos; --", '"', "'", "’", "../", "..\\",
    "/etc/passwd", "C:\\",
    "NUL", ".jpg", ".png.exe", "\0", "\n", "\r\n", "\t", "\v", "\x1b[31m", "\x7f", "\u0085", "\u00a0",
    "\u00ad", "\u034f",
    "\u061c", "\u115f", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a",
    "\u202e", "\u2060",
    "\u2066", "\u2069", "\u2800", "\u3000", "\u3164", "\ufe0e", "\ufe0f", "\ufeff", "\ufff9", "\ufffd",
    "\uffff", "\ud800",
    "\udfff", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\U0001f3f4\U000e0067\U000e007f",
    "\U000e0001", "\U000e0100", "\U0010ffff", "e\u0301", "\u0301" * 40, "ﷺ", "ſ", "İ", "ı", "ß", "ﬁ", "Å", "Ω",
    "ａ", "①",
    "א", "ب", "שלום", "مرحبا", "हिन्दी", "ไทย", "한국어", "中文", "日本語", "Ελλάδα", "россия", "nude", "n4ked", "sex",
    "12 years old",
    "aged 7", "1", "0", "999999999999", "-", "--", "—", "…", ",", ", ", ".", "!", "?", "/", "/imagine prompt:",
    " ", "  ",
)  # fmt: skip


def typed_text(random: Random, most: int) -> str:
    """Up to ``most`` characters as somebody might type who wants to break something; often a request for a person."""
    parts: list[str] = ["a man img "] if random.random() < 0.3 else []
    length, wanted = 0, random.choice((3, 12, 40, 200, most, most + 5))
    while length < wanted:
        match random.randrange(8):
            case 0:
                piece = chr(random.randrange(0x110000))
            case 1:
                piece = "".join(chr(random.randrange(32, 127)) for _ in range(random.randrange(1, 12)))
            case 2:
                piece = random.choice(_PIECES) * random.choice((2, 9, 60, most))
            case _:
                piece = random.choice(_PIECES)
        parts.append(piece)
        length += len(piece)
    return "".join(parts)[:wanted]
