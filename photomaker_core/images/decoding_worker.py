"""The process that decodes photos: one request after the other from stdin, answers to stdout, within limits.

Started by :mod:`~photomaker_core.images.decoding_pool` as ``python -m``. A file that breaks a decoder, or makes it eat
memory or time, ends this process and nothing else. It ends by itself when its stdin closes, however the parent ended.
"""

from __future__ import annotations

import contextlib
import json
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from PIL import AvifImagePlugin

from photomaker_core.errors import PhotoError
from photomaker_core.images.photo_decoding import prepare_photo
from photomaker_core.images.photo_quality import can_find_faces

MEMORY_BYTES: Final = 1280 * 2**20
"""The memory for one photo, beside the interpreter's: 64 megapixels at 4 bytes, four times over, and some."""
CPU_SECONDS: Final = 10
_HEADER: Final = struct.Struct(">II")


def write_frame(stream: IO[bytes], note: dict[str, Any], content: bytes = b"") -> None:
    """Write a JSON object and bytes, each with its length before it."""
    head = json.dumps(note).encode()
    stream.write(_HEADER.pack(len(head), len(content)) + head + content)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read what :func:`write_frame` wrote; raises :class:`EOFError` where the stream ends before it."""
    head_bytes, content_bytes = _HEADER.unpack(_read(stream, _HEADER.size))
    note: dict[str, Any] = json.loads(_read(stream, head_bytes))
    return note, _read(stream, content_bytes)


Answer = Callable[[bytes, str], tuple[dict[str, Any], bytes]]
"""What becomes of a file's content and name; may raise :class:`PhotoError`."""


def main(answer: Answer | None = None) -> None:
    """Answer until stdin closes: with the prepared photo and what is to be said of it, or as ``answer`` does."""
    answer = answer or _prepared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if can_find_faces():
        import cv2

        cv2.setNumThreads(1)
    _limit_memory()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            note, content = read_frame(sys.stdin.buffer)
            _allow_more_time()
            write_frame(sys.stdout.buffer, *_answered(answer, content, note["name"]))


def _answered(answer: Answer, content: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    try:
        return answer(content, name)
    except PhotoError as error:
        return {"sentence": error.sentence, "values": error.values}, b""
    except Exception:
        return {"fault": traceback.format_exc()}, b""


def _prepared(content: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    prepared = prepare_photo(content, name)
    report = prepared.report
    return {"notes": [note.name for note in report.notes], "face": report.face}, prepared.content


def _limit_memory() -> None:
    """Limit the address space to what is mapped now and one photo's share; only Linux tells the former."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    _lower(resource.RLIMIT_AS, limit)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _allow_more_time() -> None:
    if sys.platform == "win32":
        return
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + CPU_SECONDS)


def _lower(which: int, limit: int) -> None:
    import resource

    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _read(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content


if __name__ == "__main__":
    main()
