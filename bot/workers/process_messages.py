"""The messages between the bot and its worker process, and the channel that carries them, each as one pickle.

Plain pickles and no shared memory: a picture of 1024 x 1024 takes a millisecond or two (docs/decisions/0018).
"""

from __future__ import annotations

import logging
import pickle
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bot.workers.model_worker import LoadedModel
from bot.workers.watchdog import Watchdog
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Event, ImageJob


@dataclass(frozen=True, slots=True)
class Load:
    """The first message: how to load the model, and how to work."""

    load: Callable[[], PhotoMaker]
    max_batch: int
    watchdog: Watchdog
    log_level: int


@dataclass(frozen=True, slots=True)
class Draw:
    """A drawing, without what is read late."""

    drawing: ImageJob


@dataclass(frozen=True, slots=True)
class Prepared:
    """The answer to :class:`Begins`; ``None`` where the drawing may not begin."""

    drawing: ImageJob | None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a drawing."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Call:
    """Do short work with the engine."""

    call_id: int
    work: Callable[[StepEngine], Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is there."""

    model: LoadedModel


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model could not be loaded."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Begins:
    """A drawing is about to begin, once it is :class:`Prepared`."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a drawing."""

    job_id: int
    event: Event


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a call, or its error."""

    call_id: int
    result: Any
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Alive:
    """Sent all the time; ``limit_s`` is how long a step may take at the measured pace."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class Hangs:
    """A step takes too long."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A record for the bot's log."""

    record: logging.LogRecord


class NotPreparedError(Exception):
    """The bot has not let a drawing begin; it knows why."""


class Channel:
    """Sends and receives messages; sending is safe from any thread, receiving belongs to one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Raises ``OSError`` where nobody receives any more."""
        self.send_encoded(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def send_encoded(self, message: bytes) -> None:
        """Send what has been pickled before."""
        with self._lock:
            self._connection.send_bytes(message)

    def waits(self, timeout_s: float | None) -> bool:
        """Wait so long, or for ever, until there is something to receive, be it the end; False where nothing came."""
        return self._connection.poll(timeout_s)

    def receive(self) -> object:
        """Raises ``EOFError`` or ``OSError`` where nobody sends any more."""
        return pickle.loads(self._connection.recv_bytes())  # noqa: S301 - both ends are this program

    def close(self) -> None:
        self._connection.close()


def portable(error: BaseException) -> Exception:
    """An error that can be sent, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    try:
        if isinstance(error, Exception) and type(pickle.loads(pickle.dumps(error))) is type(error):  # noqa: S301
            error.add_note(f"In the worker process:\n{trace}")
            return error
    except Exception as fault:
        trace = f"{trace}(It could not be sent: {fault})"
    stand_in = RuntimeError(f"{type(error).__name__}: {error}")
    stand_in.add_note(f"In the worker process:\n{trace}")
    return stand_in
