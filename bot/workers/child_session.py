"""The worker process's end of the channel: messages to the GPU thread, and its events back.

The model is owned by a GPU thread as it is where there is no process of its own; the main thread listens, so that a
step that hangs keeps no message waiting. Called by :mod:`bot.workers.process_child` once the libraries are hushed.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import threading
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

from bot.workers.gpu_thread import GpuThread
from bot.workers.model_worker import HANGS, LoadedModel, WorkerError
from bot.workers.process_child import ORPHANED
from bot.workers.process_messages import (
    Alive,
    Answered,
    Begins,
    Call,
    Cancel,
    Channel,
    Draw,
    Hangs,
    Happened,
    Load,
    Loaded,
    LoadFailed,
    Logged,
    NotPreparedError,
    Prepared,
    portable,
)
from photomaker_core.serving.runner import Event, Failed, ImageJob

_DIED: Final = 4


def serve(connection: Connection) -> None:
    """Load the model and do what comes, until the bot has ended; then end the process."""
    channel = Channel(connection)
    try:
        first = channel.receive()
        assert isinstance(first, Load)
        logging.basicConfig(level=first.log_level, handlers=[_ToTheBot(channel)])
        _Session(channel, first).listen()
    except (EOFError, OSError):
        os._exit(ORPHANED)


class _Session:
    def __init__(self, channel: Channel, first: Load) -> None:
        self._channel, self._watchdog = channel, first.watchdog
        self._prepared: queue.SimpleQueue[ImageJob | None] = queue.SimpleQueue()
        self._thread = GpuThread(first.load, first.max_batch, first.watchdog, advice="it will be started again")
        self._thread.on_trouble = self._tell_trouble
        self._thread.loaded.add_done_callback(self._tell_loaded)

    def listen(self) -> None:
        self._thread.start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        while True:
            match self._channel.receive():
                case Draw(drawing):
                    publish = partial(self._publish, drawing.job_id)
                    self._thread.submit(replace(drawing, prepare=self._prepare), publish)
                case Prepared(answer):
                    self._prepared.put(answer)
                case Cancel(job_id):
                    self._thread.cancel(job_id)
                case Call(call_id, work):
                    self._thread.call(work).add_done_callback(partial(self._answer, call_id))

    def _beat(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._watchdog.check_every_s):
            self._send(Alive(self._watchdog.limit_s))

    def _tell_loaded(self, loaded: Future[LoadedModel]) -> None:
        error = loaded.exception()
        self._send(Loaded(loaded.result()) if error is None else LoadFailed(portable(error)))

    def _tell_trouble(self, trouble: WorkerError | None) -> None:
        """A step that hangs is told; where the thread has died, this process has nothing left to do."""
        if trouble is None:
            return
        if trouble.sentence == HANGS:
            self._send(Hangs())
        else:
            os._exit(_DIED)

    def _prepare(self, drawing: ImageJob) -> ImageJob:
        """Ask the bot whether a drawing may begin; called in the GPU thread, which waits."""
        self._send(Begins(drawing.job_id))
        answer = self._prepared.get()
        if answer is None:
            raise NotPreparedError
        return answer

    def _publish(self, job_id: int, event: Event) -> None:
        self._send(Happened(job_id, Failed(portable(event.error)) if isinstance(event, Failed) else event))

    def _answer(self, call_id: int, future: Future[Any]) -> None:
        error = future.exception()
        if error is None:
            self._send(Answered(call_id, future.result()))
        elif not isinstance(error, WorkerError):
            self._send(Answered(call_id, None, portable(error)))

    def _send(self, message: object) -> None:
        try:
            self._channel.send(message)
        except OSError:
            os._exit(ORPHANED)


class _ToTheBot(logging.handlers.QueueHandler):
    """Hands records to the bot, whose log has the operator's format and place."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(queue.SimpleQueue())
        self._channel = channel

    def enqueue(self, record: logging.LogRecord) -> None:
        self._channel.send(Logged(record))
