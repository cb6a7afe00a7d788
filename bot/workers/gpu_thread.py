"""The GPU thread: the only place that touches the model.

It loads the model, then loops: take what was submitted, let the runner take one step. Called by the job desk and,
for ID features, by the identity desk.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import ImageJob, Publish, Runner

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[StepEngine, Runner], None]


class GpuThread:
    """Owns the model from :meth:`start` to :meth:`stop`; its public methods may be called from any thread."""

    def __init__(self, load: Callable[[], PhotoMaker], max_batch: int) -> None:
        self.loaded: Future[PhotoMaker] = Future()
        self._load, self._max_batch = load, max_batch
        self._inbox: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu", daemon=True)

    def start(self) -> None:
        self.loaded.set_running_or_notify_cancel()
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop after the current step and wait for it. Unfinished drawings get no further event.

        A model that is still loading is not waited for; its thread ends with the load or the process.
        """
        self._stopping.set()
        self._inbox.put(None)
        if self.loaded.done():
            self._thread.join()

    def submit(self, drawing: ImageJob, publish: Publish) -> None:
        """Queue a drawing; ``publish`` is called in the GPU thread, last with an event that ends it."""

        self._inbox.put(lambda _engine, runner: runner.submit(drawing, publish))

    def cancel(self, job_id: int) -> None:
        """End a drawing within one step; does nothing when it has ended already."""
        self._inbox.put(lambda _engine, runner: runner.cancel(job_id))

    def call(self, work: Callable[[StepEngine], T]) -> Future[T]:
        """Run short ``work`` with the engine between two steps."""
        future: Future[T] = Future()

        def answer(engine: StepEngine, _runner: Runner) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work(engine))
            except Exception as error:
                future.set_exception(error)

        self._inbox.put(answer)
        return future

    def _run(self) -> None:
        try:
            model = self._load()
        except Exception as error:
            self.loaded.set_exception(error)
            return
        engine = StepEngine(model)
        runner = Runner(engine, model.largest_batch(self._max_batch))
        self.loaded.set_result(model)
        while not self._stopping.is_set():
            self._take_inbox(engine, runner)
            if runner.is_idle or self._stopping.is_set():
                continue
            try:
                runner.tick()
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
                item(engine, runner)
            except Exception:
                log.exception("the GPU thread could not do what it was asked to")
