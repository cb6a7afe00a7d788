"""The GPU thread: the only place that touches the model.

It loads the model, then loops: take what was submitted, let the runner take one step. A second thread watches it: when
a step hangs, or the thread has died, whoever waits gets a :class:`WorkerError`, and nobody waits for it any more.
It runs in the bot's process, or in one of its own (:mod:`bot.workers.gpu_process`), which can be started again.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Final, TypeVar

from bot.workers.model_worker import DIED, HANGS, LoadedModel, WorkerError
from bot.workers.watchdog import Watchdog
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.device_faults import DeviceLostError
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Failed, ImageJob, Publish, Runner

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[StepEngine, Runner], None]

STOP_PATIENCE_S: Final = 15.0


_ADVICE: Final = "with PHOTOMAKER_WORKER=process it would be started again"


class GpuThread:
    """A :class:`~bot.workers.model_worker.ModelWorker` in a thread of this process.

    ``trouble`` is there while the thread hangs, and for good once it has died; ``advice`` is logged then.
    """

    def __init__(
        self,
        load: Callable[[], PhotoMaker],
        max_batch: int,
        watchdog: Watchdog | None = None,
        *,
        advice: str = _ADVICE,
    ) -> None:
        self.loaded: Future[LoadedModel] = Future()
        self.trouble: WorkerError | None = None
        self.on_trouble: Callable[[WorkerError | None], None] = lambda _trouble: None
        self._load, self._max_batch = load, max_batch
        self._watchdog, self._advice = watchdog or Watchdog(), advice
        self._inbox: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._calls: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._has_died = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="gpu watchdog", daemon=True)

    def start(self) -> None:
        self.loaded.set_running_or_notify_cancel()
        self._thread.start()
        self._watcher.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_starting_again(self) -> bool:
        return False

    def stop(self) -> None:
        """Stop after the current step and wait for it, unless it hangs. Unfinished drawings get no further event.

        A model that is still loading is not waited for; its thread ends with the load or the process.
        """
        self._stopping.set()
        self._inbox.put(None)
        if self.loaded.done() and self.trouble is None:
            self._thread.join(STOP_PATIENCE_S)
        if self._thread.is_alive():
            log.warning("the GPU thread is still at work; it ends with the process")

    def submit(self, drawing: ImageJob, publish: Publish) -> None:
        """Queue a drawing; ``publish`` is called in the GPU thread, last with an event that ends it.

        Where the thread has died, it is called here and now.
        """
        with self._lock:
            if not self._has_died:
                self._inbox.put(lambda _engine, runner: runner.submit(drawing, publish))
                return
        publish(Failed(WorkerError(DIED)))

    def cancel(self, job_id: int) -> None:
        self._inbox.put(lambda _engine, runner: runner.cancel(job_id))

    def call(self, work: Callable[[StepEngine], T]) -> Future[T]:
        future: Future[T] = Future()

        def answer(engine: StepEngine, _runner: Runner) -> None:
            if future.done() or not future.set_running_or_notify_cancel():
                return
            try:
                result = work(engine)
            except Exception as error:
                _fail(future, WorkerError(DIED) if isinstance(error, DeviceLostError) else error)
                if isinstance(error, DeviceLostError):
                    raise
            else:
                with contextlib.suppress(InvalidStateError):
                    future.set_result(result)

        with self._lock:
            trouble = self.trouble
            if trouble is None:
                self._calls.add(future)
                self._inbox.put(answer)
        if trouble is None:
            future.add_done_callback(self._forget)
        else:
            _fail(future, trouble)
        return future

    def _forget(self, call: Future[Any]) -> None:
        with self._lock:
            self._calls.discard(call)

    def _run(self) -> None:
        try:
            model = self._load()
            engine = StepEngine(model)
            runner = Runner(engine, model.largest_batch(self._max_batch))
        except BaseException as error:
            self.loaded.set_exception(error if isinstance(error, Exception) else WorkerError(DIED))
            return
        self.loaded.set_result(LoadedModel.of(model))
        try:
            while not self._stopping.is_set():
                self._take_inbox(engine, runner)
                if not runner.is_idle and not self._stopping.is_set():
                    self._tick(runner)
        except BaseException:
            log.critical("the GPU thread has died; %s", self._advice, exc_info=True)
            self._die(engine, runner)

    def _tick(self, runner: Runner) -> None:
        with self._watchdog.watching():
            try:
                runner.tick()
            except DeviceLostError:
                raise
            except Exception as error:
                log.exception("a step failed outside every job; all jobs end")
                runner.abort(error)

    def _take_inbox(self, engine: StepEngine, runner: Runner) -> None:
        """Do what came in; where nothing is being drawn, wait for it."""
        while True:
            try:
                item = self._inbox.get(block=runner.is_idle)
            except queue.Empty:
                return
            if item is None:
                return
            try:
                with self._watchdog.watching(is_measured=False):
                    item(engine, runner)
            except DeviceLostError:
                raise
            except Exception:
                log.exception("the GPU thread could not do what it was asked to")

    def _die(self, engine: StepEngine, runner: Runner) -> None:
        """Tell everybody who waits, those in the inbox too."""
        error = WorkerError(DIED)
        with self._lock:
            self._has_died = True
        self._set_trouble(error)
        while not self._inbox.empty():
            item = self._inbox.get()
            if item is not None:
                item(engine, runner)
        runner.abort(error)

    def _watch(self) -> None:
        while not self._stopping.wait(self._watchdog.check_every_s):
            if self._has_died:
                return
            if self._watchdog.is_overdue and self.trouble is None:
                log.critical(
                    "a step has taken more than %.0f s and seems to hang; %s. It is at:\n%s",
                    self._watchdog.limit_s,
                    self._advice,
                    self._stack(),
                )
                self._set_trouble(WorkerError(HANGS))
            elif self.trouble is not None and not self._watchdog.is_overdue:
                log.warning("the step that seemed to hang has ended; drawing goes on")
                self._set_trouble(None)

    def _set_trouble(self, trouble: WorkerError | None) -> None:
        with self._lock:
            if self._has_died and trouble is None:
                return
            self.trouble = trouble
            waiting = list(self._calls) if trouble else []
        for future in waiting:
            _fail(future, trouble)
        self.on_trouble(trouble)

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame else "nowhere"


def _fail(future: Future[T], error: Exception | None) -> None:
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)
