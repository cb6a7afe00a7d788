"""The GPU thread with a real engine: order, sharing, cancelling, failing, stopping."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.workers.gpu_thread import GpuThread
from bot.workers.model_worker import WorkerError
from bot.workers.watchdog import Watchdog
from photomaker_core.errors import ModelError, PromptError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.device_faults import DeviceLostError
from photomaker_core.sampling.generation import Generation, GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Cancelled, Event, Failed, Finished, ImageJob, Progress, Started
from tests.support.gpu_faults import FaultySteps

FEATURES = torch.ones(1, 1, 256)


class Listener:
    """Collects a drawing's events; reading waits for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __call__(self, event: Event) -> None:
        assert threading.current_thread().name == "gpu"
        self._inbox.put(event)

    def until(self, *kinds: type[Event]) -> Event:
        while True:
            event = self._inbox.get(timeout=60)
            self.events.append(event)
            if isinstance(event, kinds):
                return event

    def end(self) -> Event:
        return self.until(Finished, Failed, Cancelled)

    def is_silent(self) -> bool:
        return self._inbox.empty()


@pytest.fixture
def start(tiny_model: PhotoMaker) -> Iterator[Callable[[], GpuThread]]:
    threads: list[GpuThread] = []

    def started(max_batch: int = 4) -> GpuThread:
        thread = GpuThread(lambda: tiny_model, max_batch)
        threads.append(thread)
        thread.start()
        return thread

    yield started
    for thread in threads:
        thread.stop()


def drawing(job_id: int, *, steps: int = 3, count: int = 1, prompt: str = "a man img", seed: int = 5) -> ImageJob:
    sizes = [GenerationSettings(width=64, height=64, steps=steps, seed=seed + index) for index in range(count)]
    return ImageJob(job_id, prompt, None, FEATURES, sizes)


def pictures(event: Event) -> list[np.ndarray]:
    assert isinstance(event, Finished), event
    return [np.asarray(picture) for picture in event.pictures]


def test_a_drawing_starts_progresses_and_finishes(start: Callable[[], GpuThread]) -> None:
    listener = Listener()
    start().submit(drawing(1, count=2), listener)
    assert len(pictures(listener.end())) == 2
    assert isinstance(listener.events[0], Started)
    progress = [event for event in listener.events if isinstance(event, Progress)]
    assert [(event.step, event.steps) for event in progress] == [(2, 6), (4, 6), (6, 6)]
    assert [preview.size for preview in progress[0].previews] == [(8, 8), (8, 8)]


def test_drawings_that_share_steps_get_the_pictures_they_would_get_alone(start: Callable[[], GpuThread]) -> None:
    thread = start()
    alone = []
    for job_id in range(3):
        listener = Listener()
        thread.submit(drawing(job_id, seed=job_id, steps=3 + job_id), listener)
        alone += pictures(listener.end())
    listeners = [Listener() for _ in range(3)]
    for job_id, listener in enumerate(listeners):
        thread.submit(drawing(job_id, seed=job_id, steps=3 + job_id), listener)
    for expected, listener in zip(alone, listeners, strict=True):
        assert np.abs(expected.astype(int) - pictures(listener.end())[0]).max() <= 1


def test_a_batch_holds_no_more_pictures_than_allowed(
    start: Callable[[int], GpuThread], tiny_model: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    step = StepEngine.step

    def counted(engine: StepEngine, generations: Sequence[Generation]) -> None:
        sizes.append(len(generations))
        step(engine, generations)

    monkeypatch.setattr(StepEngine, "step", counted)
    thread = start(2)
    listeners = [Listener() for _ in range(4)]
    for job_id, listener in enumerate(listeners):
        thread.submit(drawing(job_id, count=3 if job_id == 1 else 1), listener)
    assert [len(pictures(listener.end())) for listener in listeners] == [1, 3, 1, 1]
    assert max(sizes) == 2


def test_cancelling_ends_a_drawing_and_leaves_the_others(start: Callable[[], GpuThread]) -> None:
    thread = start()
    gone, kept = Listener(), Listener()
    thread.submit(drawing(1, steps=900), gone)
    thread.submit(drawing(2, steps=20), kept)
    gone.until(Progress)
    thread.cancel(1)
    thread.cancel(77)
    assert isinstance(gone.end(), Cancelled)
    assert len(pictures(kept.end())) == 1
    assert gone.is_silent()


def test_a_waiting_drawing_can_be_cancelled(start: Callable[[int], GpuThread]) -> None:
    thread = start(1)
    first, second = Listener(), Listener()
    thread.submit(drawing(1, steps=30), first)
    thread.submit(drawing(2), second)
    thread.cancel(2)
    assert isinstance(second.end(), Cancelled)
    assert len(pictures(first.end())) == 1


def test_a_prompt_that_fails_fails_alone(start: Callable[[], GpuThread]) -> None:
    thread = start()
    bad, good = Listener(), Listener()
    thread.submit(drawing(1, prompt="sea " * 320 + "a man img"), bad)
    thread.submit(drawing(2), good)
    failed = bad.end()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, PromptError)
    assert len(pictures(good.end())) == 1


def test_a_batch_too_large_for_memory_is_halved(
    start: Callable[[], GpuThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = StepEngine.step

    def short_of_memory(engine: StepEngine, generations: Sequence[Generation]) -> None:
        if len(generations) > 1:
            raise torch.OutOfMemoryError("no room")
        step(engine, generations)

    monkeypatch.setattr(StepEngine, "step", short_of_memory)
    listener = Listener()
    start().submit(drawing(1, count=4), listener)
    assert len(pictures(listener.end())) == 4


def test_only_the_picture_at_fault_fails(start: Callable[[], GpuThread], monkeypatch: pytest.MonkeyPatch) -> None:
    step = StepEngine.step

    def broken(engine: StepEngine, generations: Sequence[Generation]) -> None:
        if any(generation.settings.seed == 13 for generation in generations):
            raise RuntimeError("cosmic ray")
        step(engine, generations)

    monkeypatch.setattr(StepEngine, "step", broken)
    thread = start()
    bad, good = Listener(), Listener()
    thread.submit(drawing(1, seed=13), bad)
    thread.submit(drawing(2, seed=3), good)
    assert isinstance(bad.end(), Failed)
    assert len(pictures(good.end())) == 1


def test_short_work_runs_between_steps_and_its_errors_come_back(start: Callable[[], GpuThread]) -> None:
    thread = start()
    listener = Listener()
    thread.submit(drawing(1, steps=60), listener)
    listener.until(Progress)
    assert thread.call(lambda engine: engine.model.version).result(60) == "v1"
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda _engine: 1 // 0).result(60)
    assert len(pictures(listener.end())) == 1


def test_stopping_does_not_wait_for_the_drawing(start: Callable[[], GpuThread]) -> None:
    thread = start()
    listener = Listener()
    thread.submit(drawing(1, steps=900), listener)
    listener.until(Progress)
    thread.stop()
    assert not thread.is_running


def test_a_model_that_cannot_be_loaded_is_reported() -> None:
    def fail() -> PhotoMaker:
        raise ModelError("no weights here")

    thread = GpuThread(fail, 4)
    thread.start()
    with pytest.raises(ModelError, match="no weights here"):
        thread.loaded.result(60)
    thread.stop()


@pytest.fixture
def troubles() -> queue.SimpleQueue[WorkerError | None]:
    return queue.SimpleQueue()


@pytest.fixture
def watched(
    tiny_model: PhotoMaker, faulty_steps: FaultySteps, troubles: queue.SimpleQueue[WorkerError | None]
) -> Iterator[GpuThread]:
    """A thread whose steps hang for the watchdog as soon as a machine that is busy otherwise makes them wait."""
    watchdog = Watchdog(least_s=0.3, first_s=0.3, factor=0.1, check_every_s=0.02)
    yield from _started(GpuThread(lambda: tiny_model, 4, watchdog), faulty_steps, troubles)


@pytest.fixture
def patient(
    tiny_model: PhotoMaker, faulty_steps: FaultySteps, troubles: queue.SimpleQueue[WorkerError | None]
) -> Iterator[GpuThread]:
    """A thread whose steps may take as long as a busy machine wants."""
    yield from _started(GpuThread(lambda: tiny_model, 4, Watchdog(least_s=600, first_s=600)), faulty_steps, troubles)


def _started(
    thread: GpuThread, faulty_steps: FaultySteps, troubles: queue.SimpleQueue[WorkerError | None]
) -> Iterator[GpuThread]:
    thread.on_trouble = troubles.put
    thread.start()
    yield thread
    faulty_steps.goes_on.set()
    thread.stop()


def test_a_hanging_step_is_noticed_fails_calls_and_may_end_after_all(
    watched: GpuThread, faulty_steps: FaultySteps, troubles: queue.SimpleQueue[WorkerError | None]
) -> None:
    faulty_steps.mode = "hangs"
    listener = Listener()
    watched.submit(drawing(1), listener)
    listener.until(Started)
    early = watched.call(lambda engine: engine.model.version)
    assert isinstance(troubles.get(timeout=60), WorkerError)
    for future in (early, watched.call(lambda engine: engine.model.version)):
        with pytest.raises(WorkerError, match="stuck"):
            future.result(0)
    faulty_steps.mode = ""
    faulty_steps.goes_on.set()
    assert troubles.get(timeout=60) is None
    assert len(pictures(listener.end())) == 1
    assert watched.call(lambda engine: engine.model.version).result(60) == "v1"


def test_stopping_does_not_wait_for_a_hanging_step(
    watched: GpuThread, faulty_steps: FaultySteps, troubles: queue.SimpleQueue[WorkerError | None]
) -> None:
    faulty_steps.mode = "hangs"
    watched.submit(drawing(1), Listener())
    troubles.get(timeout=60)
    started_s = time.perf_counter()
    watched.stop()
    assert time.perf_counter() - started_s < 1
    assert watched.is_running


def test_a_thread_that_dies_tells_everybody(
    patient: GpuThread, faulty_steps: FaultySteps, troubles: queue.SimpleQueue[WorkerError | None]
) -> None:
    faulty_steps.mode = "dies"
    listeners = [Listener() for _ in range(3)]
    for number, listener in enumerate(listeners):
        patient.submit(drawing(number), listener)
    assert isinstance(troubles.get(timeout=60), WorkerError)
    call = patient.call(lambda engine: engine.model.version)
    for listener in listeners:
        failed = listener.end()
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, WorkerError)
    with pytest.raises(WorkerError, match="broken down"):
        call.result(60)
    late: list[Event] = []
    patient.submit(drawing(9), late.append)
    (failed,) = late
    assert isinstance(failed, Failed)
    assert patient.trouble is not None


def test_a_lost_device_stops_drawing_and_blames_no_drawing(
    patient: GpuThread, troubles: queue.SimpleQueue[WorkerError | None], caplog: pytest.LogCaptureFixture
) -> None:
    def lose(_engine: StepEngine) -> None:
        raise DeviceLostError("the card is lost")

    listener = Listener()
    patient.submit(drawing(1, steps=900), listener)
    listener.until(Progress)
    with pytest.raises(WorkerError, match="broken down"):
        patient.call(lose).result(60)
    assert isinstance(troubles.get(timeout=60), WorkerError)
    failed = listener.end()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, WorkerError)
    assert "PHOTOMAKER_WORKER=process" in caplog.text


def test_a_load_that_ends_its_thread_is_reported() -> None:
    def end() -> PhotoMaker:
        raise SystemExit

    thread = GpuThread(end, 4)
    thread.start()
    with pytest.raises(WorkerError, match="broken down"):
        thread.loaded.result(60)
    thread.stop()


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["submit", "cancel"]), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)),
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(actions=ACTIONS)
def test_every_drawing_ends_exactly_once(tiny_model: PhotoMaker, actions: list[tuple[str, int, int, int]]) -> None:
    thread = GpuThread(lambda: tiny_model, 3)
    thread.start()
    listeners: dict[int, Listener] = {}
    for action, job_id, steps, count in actions:
        if action == "cancel":
            thread.cancel(job_id)
        elif job_id not in listeners:
            listeners[job_id] = Listener()
            thread.submit(drawing(job_id, steps=steps, count=count), listeners[job_id])
    for listener in listeners.values():
        listener.end()
    thread.call(lambda _engine: None).result(60)
    assert all(listener.is_silent() for listener in listeners.values())
    thread.stop()
