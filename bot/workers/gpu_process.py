"""The worker in a process of its own, started again whenever it ends or hangs.

The process has the model, the step engine with its batches, and the fair queue; the bot has everything that knows
members. What the process has not ended is kept here (:mod:`bot.workers.task_ledger`) and sent again. One thread starts
the process and reads what it says, another writes; both belong to the bot.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from bot.workers.child_process import ChildProcess, Process, spawned
from bot.workers.model_worker import DIED, LoadedModel, WorkerError
from bot.workers.process_messages import (
    Alive,
    Answered,
    Begins,
    Call,
    Cancel,
    Draw,
    Hangs,
    Happened,
    Load,
    Loaded,
    LoadFailed,
    Logged,
    NotPreparedError,
    Prepared,
)
from bot.workers.task_ledger import TaskLedger
from bot.workers.watchdog import Watchdog
from photomaker_core.errors import DrawingError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Cancelled, Event, Failed, Finished, ImageJob, Publish

log = logging.getLogger(__name__)
T = TypeVar("T")

STOP_PATIENCE_S: Final = 15.0
SILENCE_S: Final = 120.0
"""A process with a model says every few seconds that it is alive; one that is silent for so long hangs as a whole."""
FIRST_PAUSE_S: Final = 1.0
MOST_PAUSE_S: Final = 60.0
HOPELESS: Final = 3
"""So many ends in a row, with nothing done in between, and nothing new is taken until the process has loaded."""

RESTARTING: Final = (
    "Drawing has broken down on my side, and starting it again does not help yet. Please try again later."
)
_KILLS: Final = "Doing this has stopped me twice, so I do not try it again. Please ask for something else."


@dataclass(slots=True, eq=False)
class _Drawing:
    """A drawing as it was submitted, as it is sent, and the error that kept it from being prepared."""

    drawing: ImageJob
    publish: Publish
    message: bytes
    refusal: Exception | None = None
    is_cancelled: bool = False


@dataclass(slots=True, eq=False)
class _Call:
    """Work as it is sent, and who waits for its result."""

    future: Future[Any]
    message: bytes


_Key = tuple[str, int]


class GpuProcess:
    """A :class:`~bot.workers.model_worker.ModelWorker` in a process of its own.

    ``load`` must be such as pickle can send. The process is started again after a pause that doubles with each end
    during which nothing was done, from ``first_pause_s`` on. ``start`` starts it, given the descriptor of its socket.
    """

    def __init__(
        self,
        load: Callable[[], PhotoMaker],
        max_batch: int,
        watchdog: Watchdog | None = None,
        *,
        silence_s: float = SILENCE_S,
        first_pause_s: float = FIRST_PAUSE_S,
        start: Callable[[int], Process] = spawned,
    ) -> None:
        self.loaded: Future[LoadedModel] = Future()
        self.trouble: WorkerError | None = None
        self.on_trouble: Callable[[WorkerError | None], None] = lambda _trouble: None
        self._load, self._max_batch, self._watchdog = load, max_batch, watchdog or Watchdog()
        self._silence_s, self._first_pause_s, self._start = silence_s, first_pause_s, start
        self._limit_s = self._watchdog.limit_s
        self._ledger: TaskLedger[_Key, _Drawing | _Call] = TaskLedger()
        self._call_ids = itertools.count()
        self._child: ChildProcess | None = None
        self._is_ready = False
        self._ends_in_a_row = 0
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu process", daemon=True)

    def start(self) -> None:
        self.loaded.set_running_or_notify_cancel()
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_starting_again(self) -> bool:
        has_loaded = self.loaded.done() and self.loaded.exception() is None
        return has_loaded and not self._is_ready and self.trouble is None

    @property
    def process_id(self) -> int | None:
        """The id of the process that works now."""
        child = self._child
        return None if child is None else child.process_id

    def stop(self) -> None:
        """End the process at once: whatever it has is drawn again after the next start."""
        self._stopping.set()
        with self._lock:
            if self._child is not None:
                self._child.kill()
        self._thread.join(STOP_PATIENCE_S)

    def submit(self, drawing: ImageJob, publish: Publish) -> None:
        message = pickle.dumps(Draw(replace(drawing, prepare=None)), pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._ledger.add(("drawing", drawing.job_id), _Drawing(drawing, publish, message))
        self._send_what_may_be_sent()

    def cancel(self, job_id: int) -> None:
        key = ("drawing", job_id)
        with self._lock:
            task = self._ledger.get(key)
            if not isinstance(task, _Drawing):
                return
            task.is_cancelled = True
            if self._child is not None and not self._ledger.is_held(key):
                self._child.send(Cancel(job_id))
                return
            self._ledger.end(key)
        task.publish(Cancelled())

    def call(self, work: Callable[[StepEngine], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            trouble = self.trouble
            if trouble is None:
                call_id = next(self._call_ids)
                message = pickle.dumps(Call(call_id, work), pickle.HIGHEST_PROTOCOL)
                self._ledger.add(("call", call_id), _Call(future, message))
        if trouble is None:
            self._send_what_may_be_sent()
        else:
            future.set_exception(trouble)
        return future

    def _send_what_may_be_sent(self) -> None:
        with self._lock:
            if self._child is None or not self._is_ready:
                return
            for key, task in self._ledger.to_send():
                self._child.send_encoded(task.message)
                if isinstance(task, _Call):
                    self._ledger.begin(key)

    def _run(self) -> None:
        goes_on = True
        while goes_on and not self._stopping.is_set():
            try:
                goes_on = self._run_once()
            except Exception:
                log.exception("the worker process could not be looked after")
            if self._stopping.is_set() or not goes_on:
                return
            goes_on = self._take_back()
            if goes_on:
                pause_s = min(MOST_PAUSE_S, self._first_pause_s * 2 ** max(0, self._ends_in_a_row - 1))
                log.warning("the worker process will be started again in %.1f s", pause_s)
                self._stopping.wait(pause_s)

    def _run_once(self) -> bool:
        """Start a process and serve it until it ends; False where another one would be of no use."""
        first = Load(self._load, self._max_batch, self._watchdog, log.getEffectiveLevel())
        child = ChildProcess(first, self._start)
        with self._lock:
            self._child = child
            if self._stopping.is_set():
                child.kill()
        try:
            return self._serve(child)
        finally:
            with self._lock:
                self._child, self._is_ready = None, False
            status = child.end()
            if not self._stopping.is_set():
                log.critical("the worker process has ended with status %s", status)

    def _serve(self, child: ChildProcess) -> bool:
        """Do what the process says until it ends, hangs, or has failed to load for the first time."""
        while True:
            if not child.channel.waits(self._silence_s if self._is_ready else None):
                log.critical("the worker process has said nothing for %.0f s", self._silence_s)
                return True
            try:
                message = child.channel.receive()
            except (EOFError, OSError):
                return True
            match message:
                case Logged(record):
                    _log_here(record)
                case Loaded(model):
                    if not self._take_model(model):
                        return True
                case LoadFailed(error):
                    if self.loaded.done():
                        log.error("the model could not be loaded again", exc_info=error)
                        return True
                    self.loaded.set_exception(error)
                    return False
                case Begins(job_id):
                    child.send(Prepared(self._prepare(job_id)))
                case Happened(job_id, event):
                    self._tell(job_id, event)
                case Answered(call_id, result, error):
                    self._answer(call_id, result, error)
                case Alive(limit_s):
                    self._limit_s = limit_s
                case Hangs():
                    return True

    def _take_model(self, model: LoadedModel) -> bool:
        """Go on with a model that is loaded; False where it is another one than before."""
        is_first = not self.loaded.done()
        if not is_first and model != self.loaded.result():
            log.error("the model's files have changed; restart the bot: %s was %s", model, self.loaded.result())
            return False
        with self._lock:
            self._is_ready, self.trouble = True, None
        if is_first:
            self.loaded.set_result(model)
        else:
            log.warning("the worker process draws again")
            self.on_trouble(None)
        self._send_what_may_be_sent()
        return True

    def _take_back(self) -> bool:
        """Hold again what the process had, and end what is not to be tried again; False where there is no model."""
        with self._lock:
            condemned = self._ledger.crash()
            unwanted = [task for _, task in self._ledger if isinstance(task, _Drawing) and task.is_cancelled]
            for task in unwanted:
                self._ledger.end(("drawing", task.drawing.job_id))
            self._ends_in_a_row = 0 if condemned else self._ends_in_a_row + 1
            self._watchdog = self._watchdog.successor(self._limit_s)
            refused: list[_Call] = []
            if self._ends_in_a_row >= HOPELESS:
                self.trouble = WorkerError(RESTARTING)
                calls = [(key, task) for key, task in self._ledger if isinstance(task, _Call)]
                for key, call in calls:
                    self._ledger.end(key)
                    refused.append(call)
        for task in unwanted:
            task.publish(Cancelled())
        for one in condemned:
            log.error("the worker process has ended twice at the same work; it is not tried again")
            _end(one, DrawingError(_KILLS))
        for call in refused:
            _end(call, WorkerError(RESTARTING))
        if self.loaded.done():
            self.on_trouble(self.trouble or WorkerError(RESTARTING))
        elif self.trouble is not None:
            self.loaded.set_exception(WorkerError(DIED))
            return False
        return True

    def _prepare(self, job_id: int) -> ImageJob | None:
        """Let a drawing begin, with what is read late; ``None`` where it may not."""
        with self._lock:
            task = self._ledger.begin(("drawing", job_id))
        if not isinstance(task, _Drawing) or task.is_cancelled:
            return None
        prepare = task.drawing.prepare
        if prepare is None:
            return task.drawing
        try:
            return replace(prepare(task.drawing), prepare=None)
        except Exception as error:
            task.refusal = error
            return None

    def _tell(self, job_id: int, event: Event) -> None:
        key = ("drawing", job_id)
        is_end = isinstance(event, Finished | Failed | Cancelled)
        with self._lock:
            task = self._ledger.end(key) if is_end else self._ledger.get(key)
            if is_end:
                self._ends_in_a_row = 0
        if isinstance(task, _Drawing):
            if isinstance(event, Failed) and isinstance(event.error, NotPreparedError):
                event = Failed(task.refusal) if task.refusal else Cancelled()
            task.publish(event)
        if is_end:
            self._send_what_may_be_sent()

    def _answer(self, call_id: int, result: Any, error: Exception | None) -> None:
        with self._lock:
            task = self._ledger.end(("call", call_id))
            self._ends_in_a_row = 0
        if isinstance(task, _Call):
            with suppress(InvalidStateError):
                if error is None:
                    task.future.set_result(result)
                else:
                    task.future.set_exception(error)
        self._send_what_may_be_sent()


def _end(task: _Drawing | _Call, error: Exception) -> None:
    if isinstance(task, _Drawing):
        task.publish(Failed(error))
    else:
        with suppress(InvalidStateError):
            task.future.set_exception(error)


def _log_here(record: logging.LogRecord) -> None:
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
