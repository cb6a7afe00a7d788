"""Starts, kills and reaps one worker process. Called by :mod:`bot.workers.gpu_process`."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final, Protocol

from bot.workers.process_messages import Channel, Load

_SECRET: Final = ("DISCORD_TOKEN", "DATABASE_URL")
"""What the process is not told of the environment; model files are foreign code's nearest neighbours."""


class Process(Protocol):
    """What is needed of a process that has been started."""

    pid: int

    def kill(self) -> None:
        """End it now; does nothing where it has ended."""

    def wait(self) -> int:
        """Wait until it has ended, and return its status."""


def spawned(descriptor: int) -> Process:
    """Start a worker process anew, which talks over an open socket."""
    return subprocess.Popen(  # noqa: S603 - our own module, and two numbers
        [sys.executable, "-P", "-m", "bot.workers.process_child", str(descriptor), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        pass_fds=[descriptor],
        env=_environment(),
        # Ctrl-C in a terminal reaches the whole foreground group: stopping is the parent's to decide.
        start_new_session=True,
    )


class ChildProcess:
    """A running worker process, and the channel to it. Reading belongs to one thread; sending never waits.

    Start it in a thread that lives as long as it may: Linux ends the process with that thread. ``start`` takes the
    descriptor of the process's end of the socket.
    """

    def __init__(self, first: Load, start: Callable[[int], Process] = spawned) -> None:
        mine, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = start(theirs.fileno())
        self.channel = Channel(mine)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="gpu process writer", daemon=True)
        self._writer.start()
        self.send(first)

    @property
    def process_id(self) -> int:
        return self._process.pid

    def send(self, message: object) -> None:
        self.send_encoded(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def send_encoded(self, message: bytes) -> None:
        """Send what has been pickled before. What a process that has ended does not receive is lost."""
        self._outbox.put(message)

    def kill(self) -> None:
        """End the process now; may be called from any thread, also when it has ended."""
        self._process.kill()

    def end(self) -> int:
        """Kill the process where it still runs, and return its exit status; belongs to the thread that reads."""
        self._process.kill()
        status = self._process.wait()
        self._outbox.put(None)
        self._writer.join()
        self.channel.close()
        return status

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self.channel.send_encoded(message)
            except OSError:
                return


def _environment() -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name not in _SECRET}
    return {**known, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
