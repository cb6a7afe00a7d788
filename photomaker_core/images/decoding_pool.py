"""Decodes members' photos in a few processes of their own, with limits on memory and time.

A hostile file can break a decoder, or keep it busy for minutes. Here it costs its own answer: no other thread waits,
and neither the bot's memory nor its token is within the decoder's reach. Called by whoever takes uploads.
"""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

from photomaker_core.errors import PhotoError
from photomaker_core.images.decoding_worker import read_frame, write_frame
from photomaker_core.images.photo_decoding import MAX_UPLOAD_BYTES, PreparedPhoto, too_large
from photomaker_core.images.photo_quality import Note, PhotoReport

log = logging.getLogger(__name__)

WORKERS: Final = 2
TIMEOUT_S: Final = 30.0
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "LANG")
"""All that a decoder is told of the environment: no token, no database."""
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class DecodingPool:
    """Up to ``workers`` decoding processes, started when they are first needed and again when one has ended.

    :meth:`close` ends them; they also end when this process does, in whatever way.
    """

    program: ClassVar[str] = "photomaker_core.images.decoding_worker"
    """The module that runs in the processes."""

    def __init__(self, workers: int = WORKERS, timeout_s: float = TIMEOUT_S) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="photo-decoding")
        self._timeout_s = timeout_s
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def submit(self, content: bytes, name: str = "This photo") -> Future[PreparedPhoto]:
        """Decode, normalise and judge an upload.

        The future raises :class:`PhotoError` for anything that is no usable photo, takes too long or too much memory.
        """
        return self._threads.submit(self._prepare, content, name)

    def prepare(self, content: bytes, name: str = "This photo") -> PreparedPhoto:
        """Do :meth:`submit` and wait for it."""
        return self.submit(content, name).result()

    @property
    def process_ids(self) -> list[int]:
        """The decoding processes that run now."""
        with self._lock:
            return sorted(process.pid for process in self._running)

    def close(self) -> None:
        """End the processes and refuse what waits; takes no longer than a process needs to be killed."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.kill()
        self._threads.shutdown(wait=True)
        for process in running:
            _reap(process)
        self._running.clear()

    def _prepare(self, content: bytes, name: str) -> PreparedPhoto:
        if len(content) > MAX_UPLOAD_BYTES:
            raise too_large(name)
        note, prepared = self._ask(content, name)
        face = note["face"]
        return PreparedPhoto(
            prepared, PhotoReport(tuple(Note[one] for one in note["notes"]), None if face is None else tuple(face))
        )

    def _ask(self, content: bytes, name: str) -> tuple[dict[str, Any], bytes]:
        """The answer of this thread's process; raises :class:`PhotoError`."""
        process = self._process()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(self._timeout_s, process.kill)
        timer.daemon = True
        timer.start()
        try:
            write_frame(process.stdin, {"name": name}, content)
            note, answer = read_frame(process.stdout)
        except (EOFError, OSError) as error:
            self._forget(process)
            log.warning("a photo ended its decoding process with status %s", process.returncode)
            raise PhotoError(
                "{name} takes too much time or memory to read. Please save it as an ordinary JPEG and upload that.",
                name=name,
            ) from error
        finally:
            timer.cancel()
        if "fault" in note:
            log.error("a photo could not be decoded:\n%s", note["fault"])
            raise PhotoError("{name} is damaged or cut off. Please upload it again.", name=name)
        if "sentence" in note:
            raise PhotoError(note["sentence"], **note["values"])
        return note, answer

    def _process(self) -> subprocess.Popen[bytes]:
        """This thread's own process."""
        process: subprocess.Popen[bytes] | None = getattr(self._mine, "process", None)
        if process is not None and process.poll() is None:
            return process
        if process is not None:
            self._forget(process)
        with self._lock:
            if self._closed:
                raise RuntimeError("the decoding pool is closed")
            process = self._mine.process = _start(self.program)
            self._running.add(process)
        return process

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        _reap(process)
        self._mine.process = None
        with self._lock:
            self._running.discard(process)


@cache
def photo_pool() -> DecodingPool:
    """This process's pool: decoding keeps no state, so one serves everybody in the process."""
    pool = DecodingPool()
    atexit.register(pool.close)
    return pool


def _start(program: str) -> subprocess.Popen[bytes]:
    inherited = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    packages = str(Path(__file__).parents[2])
    return subprocess.Popen(  # noqa: S603 - the program is a module of this package
        [sys.executable, "-P", "-m", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**inherited, **_ONE_THREAD, "PYTHONPATH": packages},
        # Ctrl-C in a terminal reaches the whole foreground group: closing is the parent's to decide.
        start_new_session=True,
    )


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                log.debug("a decoding process left its pipe unread")
