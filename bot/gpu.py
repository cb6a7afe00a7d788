"""The GPU thread: the only place that touches the model.

It loads the model, then loops: take what was submitted, advance the running generations by one step
together, publish events. Called by the job desk and, for ID features, by the identity desk.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from PIL import Image
from torch import Tensor

from photomaker_core.engine import Generation, GenerationSettings, StepEngine
from photomaker_core.model import PhotoMaker

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Drawing:
    """One job as the GPU thread takes it; ``settings`` has one entry a picture.

    ``id_features`` is [N, T, D], or ``None`` for a picture of nobody in particular.
    """

    job_id: int
    prompt: str
    negative_prompt: str | None
    id_features: Tensor | None
    settings: Sequence[GenerationSettings]


@dataclass(frozen=True, slots=True)
class Started:
    """Drawing has begun. ``dropped_text`` is the end of the prompt that the model cannot see."""

    dropped_text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """``step`` of ``steps``, summed over the job's pictures."""

    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Finished:
    pictures: list[Image.Image]


@dataclass(frozen=True, slots=True)
class Failed:
    error: Exception


@dataclass(frozen=True, slots=True)
class Cancelled:
    pass


Event = Started | Progress | Finished | Failed | Cancelled
Publish = Callable[[Event], None]


@dataclass(slots=True, eq=False)
class _Running:
    drawing: Drawing
    publish: Publish
    generations: list[Generation]
    pictures: dict[int, Image.Image] = field(default_factory=dict)

    @property
    def progress(self) -> Progress:
        return Progress(
            step=sum(generation.steps_done for generation in self.generations),
            steps=sum(len(generation.scheduler.timesteps) for generation in self.generations),
        )


class GpuThread:
    """Owns the model from :meth:`start` to :meth:`stop`; its public methods may be called from any thread."""

    def __init__(self, load: Callable[[], PhotoMaker], max_batch: int) -> None:
        self.loaded: Future[PhotoMaker] = Future()
        self._load, self._max_batch = load, max_batch
        self._inbox: queue.SimpleQueue[Callable[[StepEngine], None] | None] = queue.SimpleQueue()
        self._waiting: list[tuple[Drawing, Publish]] = []
        self._running: list[_Running] = []
        self._cancelled: set[int] = set()
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

    def submit(self, drawing: Drawing, publish: Publish) -> None:
        """Queue a drawing; ``publish`` is called in the GPU thread, last with an event that ends it."""

        def enqueue(_engine: StepEngine) -> None:
            self._waiting.append((drawing, publish))

        self._inbox.put(enqueue)

    def cancel(self, job_id: int) -> None:
        """End a drawing within one step; does nothing when it has ended already."""
        self._inbox.put(lambda _engine: self._cancelled.add(job_id))

    def call(self, work: Callable[[StepEngine], T]) -> Future[T]:
        """Run short ``work`` with the engine between two steps."""
        future: Future[T] = Future()

        def answer(engine: StepEngine) -> None:
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
        self.loaded.set_result(model)
        while True:
            self._take_inbox(engine)
            if self._stopping.is_set():
                return
            self._drop_cancelled()
            self._admit(engine)
            self._tick(engine)

    def _take_inbox(self, engine: StepEngine) -> None:
        idle = not self._running and not self._waiting
        while True:
            try:
                item = self._inbox.get(block=idle)
            except queue.Empty:
                return
            if item is None:
                return
            item(engine)
            idle = False

    def _drop_cancelled(self) -> None:
        if not self._cancelled:
            return
        for drawing, publish in self._waiting:
            if drawing.job_id in self._cancelled:
                publish(Cancelled())
        for job in self._running:
            if job.drawing.job_id in self._cancelled:
                job.publish(Cancelled())
        self._waiting = [one for one in self._waiting if one[0].job_id not in self._cancelled]
        self._running = [one for one in self._running if one.drawing.job_id not in self._cancelled]
        self._cancelled.clear()

    def _admit(self, engine: StepEngine) -> None:
        """First come, first served, while the batch has room; a single large job always fits."""
        while self._waiting:
            drawing, publish = self._waiting[0]
            active = sum(not generation.is_done for job in self._running for generation in job.generations)
            if active and active + len(drawing.settings) > self._max_batch:
                return
            del self._waiting[0]
            try:
                conditioning = engine.condition(drawing.prompt, drawing.negative_prompt, drawing.id_features)
                generations = [engine.begin(conditioning, settings) for settings in drawing.settings]
            except Exception as error:
                publish(Failed(error))
                continue
            publish(Started(conditioning.dropped_text))
            self._running.append(_Running(drawing, publish, generations))

    def _tick(self, engine: StepEngine) -> None:
        """One step for every running generation, those that can share a UNet forward together."""
        groups: dict[tuple[object, ...], list[Generation]] = {}
        for job in self._running:
            for generation in job.generations:
                if not generation.is_done:
                    groups.setdefault(generation.batch_key, []).append(generation)
        for group in groups.values():
            self._step(engine, group[: self._max_batch])
        for job in list(self._running):
            try:
                self._decode(engine, job)
            except Exception as error:
                self._fail(job, error)
            else:
                self._tell(job)

    def _step(self, engine: StepEngine, group: Sequence[Generation]) -> None:
        """Step a group; when that fails, halve it until the generation at fault stands alone."""
        try:
            engine.step(group)
        except Exception as error:
            if len(group) > 1:
                log.warning("a step of %d pictures failed (%s); trying halves", len(group), error)
                self._step(engine, group[: len(group) // 2])
                self._step(engine, group[len(group) // 2 :])
                return
            for job in [one for one in self._running if group[0] in one.generations]:
                self._fail(job, error)

    def _decode(self, engine: StepEngine, job: _Running) -> None:
        for index, generation in enumerate(job.generations):
            if generation.is_done and index not in job.pictures:
                job.pictures[index] = engine.finish(generation)

    def _tell(self, job: _Running) -> None:
        if len(job.pictures) == len(job.generations):
            self._running.remove(job)
            job.publish(Finished([job.pictures[index] for index in range(len(job.generations))]))
        else:
            job.publish(job.progress)

    def _fail(self, job: _Running, error: Exception) -> None:
        self._running.remove(job)
        job.publish(Failed(error))
