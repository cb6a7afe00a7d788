"""The worker in a process of its own: what it draws, and that it is started again whatever ends it.

The workers are forks of a process that has the libraries (``tests/support/worker_process.py``); one test starts a
worker as the bot does.
"""

from __future__ import annotations

import os
import pickle
import queue
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import UnidentifiedImageError

from bot.config import load_settings
from bot.services.model_loading import model_loader
from bot.workers.gpu_process import GpuProcess
from bot.workers.gpu_thread import GpuThread
from bot.workers.model_worker import WorkerError
from bot.workers.watchdog import Watchdog
from photomaker_core.errors import DrawingError, PromptError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.serving.photo_encoding import encode_stored_photos
from photomaker_core.serving.runner import Cancelled, Event, Failed, Finished, ImageJob, Progress, Started
from tests.support import uploads
from tests.support.worker_process import POISONED_PX, Forks, load_tiny

LIMIT_S = 100
ENDS = (Finished, Failed, Cancelled)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    opened = Forks()
    yield opened
    opened.close()


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    folder = tmp_path / "faults"
    folder.mkdir()
    return folder


@pytest.fixture
def start(forks: Forks, faults: Path) -> Iterator[Callable[..., GpuProcess]]:
    workers: list[GpuProcess] = []

    def started(watchdog: Watchdog | None = None, **how: Any) -> GpuProcess:
        watchdog = watchdog or Watchdog(check_every_s=0.1)
        worker = GpuProcess(partial(load_tiny, faults), 4, watchdog, first_pause_s=0.01, start=forks.start, **how)
        workers.append(worker)
        worker.start()
        worker.loaded.exception(LIMIT_S)
        return worker

    yield started
    for worker in workers:
        worker.stop()
        assert not worker.is_running


class Listener:
    """A drawing's events; reading waits for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __call__(self, event: Event) -> None:
        self._inbox.put(event)

    def until(self, *kinds: type[Event]) -> Event:
        while True:
            event = self._inbox.get(timeout=LIMIT_S)
            self.events.append(event)
            if isinstance(event, kinds):
                return event

    def pixels(self) -> np.ndarray:
        ended = self.until(*ENDS)
        assert isinstance(ended, Finished), ended
        return np.stack([np.asarray(picture).astype(int) for picture in ended.pictures])

    def error(self) -> Exception:
        ended = self.until(*ENDS)
        assert isinstance(ended, Failed), ended
        return ended.error

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


def drawing(job_id: int, *, steps: int = 3, count: int = 1, width: int = 64, prompt: str = "a man img") -> ImageJob:
    how = [GenerationSettings(width, 64, steps=steps, seed=job_id + index) for index in range(count)]
    return ImageJob(job_id, prompt, None, torch.ones(1, 1, 256), how, member=job_id)


def submitted(worker: GpuProcess, job: ImageJob) -> Listener:
    listener = Listener()
    worker.submit(job, listener)
    return listener


def encoding(worker: GpuProcess, *photos: bytes) -> Future[torch.Tensor]:
    return worker.call(partial(encode_stored_photos, photos=photos))


def test_a_process_draws_and_encodes_what_a_thread_does(
    start: Callable[[], GpuProcess], tiny_model: PhotoMaker
) -> None:
    thread, worker = GpuThread(lambda: tiny_model, 4), start()
    thread.start()
    assert worker.loaded.result() == thread.loaded.result(LIMIT_S)
    expected, found = Listener(), submitted(worker, drawing(1, count=2))
    thread.submit(drawing(1, count=2), expected)
    assert np.abs(found.pixels() - expected.pixels()).max() <= 1
    assert [type(event) for event in found.events] == [Started, Progress, Progress, Progress, Finished]
    (first, *_) = (event for event in found.events if isinstance(event, Progress))
    assert [preview.size for preview in first.previews] == [(8, 8), (8, 8)]
    work = partial(encode_stored_photos, photos=[uploads.photo()])
    assert torch.allclose(worker.call(work).result(LIMIT_S), thread.call(work).result(LIMIT_S), atol=1e-5)
    thread.stop()


def test_errors_come_back_as_they_are(start: Callable[[], GpuProcess]) -> None:
    worker = start()
    bad = submitted(worker, drawing(1, prompt="sea " * 320 + "a man img"))
    assert isinstance(bad.error(), PromptError)
    with pytest.raises(UnidentifiedImageError) as raised:
        encoding(worker, b"no picture").result(LIMIT_S)
    assert "encode_stored_photos" in raised.value.__notes__[0]


def test_what_is_read_late_is_read_when_drawing_begins(start: Callable[[], GpuProcess]) -> None:
    worker = start()
    refusal = ValueError("not any more")
    asked: list[int] = []

    def refuse(job: ImageJob) -> ImageJob:
        raise refusal

    def prepare(job: ImageJob) -> ImageJob:
        asked.append(job.job_id)
        return job

    for job_id, prepared in ((1, refuse), (2, prepare)):
        listener = Listener()
        job = drawing(job_id)
        worker.submit(ImageJob(job_id, job.prompt, None, job.id_features, job.settings, prepare=prepared), listener)
        if prepared is refuse:
            assert listener.error() is refusal
        else:
            listener.pixels()
    assert asked == [2]


def test_a_drawing_is_cancelled_wherever_it_is(start: Callable[..., GpuProcess], faults: Path) -> None:
    worker = start()
    running = submitted(worker, drawing(1, steps=900))
    running.until(Progress)
    worker.cancel(1)
    worker.cancel(7)
    assert isinstance(running.until(*ENDS), Cancelled)
    (faults / "no load").touch()
    _kill(worker)
    held = submitted(worker, drawing(2))
    worker.cancel(2)
    assert isinstance(held.until(*ENDS), Cancelled)


def _kill(worker: GpuProcess) -> None:
    process_id = worker.process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGKILL)


def test_what_a_killed_process_had_is_done_once_more(start: Callable[..., GpuProcess]) -> None:
    worker = start()
    expected = submitted(worker, drawing(1, steps=40)).pixels()
    listeners = [submitted(worker, drawing(job_id, steps=40)) for job_id in (1, 2)]
    for listener in listeners:
        listener.until(Progress)
    late = submitted(worker, drawing(3))
    _kill(worker)
    photo = encoding(worker, uploads.photo())
    assert np.abs(listeners[0].pixels() - expected).max() <= 1
    listeners[1].pixels()
    late.pixels()
    assert photo.result(LIMIT_S).shape == (1, 1, 256)
    assert [listener.count(Started) for listener in listeners] == [2, 2]
    assert [listener.count(Finished) for listener in listeners] == [1, 1]


def test_a_drawing_that_ends_the_process_fails_alone(start: Callable[..., GpuProcess], faults: Path) -> None:
    worker = start()
    (faults / "poison").touch()
    good = [submitted(worker, drawing(job_id, steps=20)) for job_id in (1, 2)]
    poisoned = submitted(worker, drawing(3, width=POISONED_PX))
    good += [submitted(worker, drawing(job_id)) for job_id in (4, 5)]
    error = poisoned.error()
    assert isinstance(error, DrawingError)
    assert "stopped me twice" in str(error)
    for listener in good:
        listener.pixels()
        assert listener.count(Finished) == 1


@pytest.mark.parametrize("fault", ["segfault", "lost", "hangs"])
def test_whatever_stops_the_process_it_is_started_again(
    start: Callable[..., GpuProcess], faults: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    watchdog = Watchdog(least_s=6, first_s=6, factor=0.1, check_every_s=0.05) if fault == "hangs" else None
    worker = start(watchdog)
    troubles: queue.SimpleQueue[WorkerError | None] = queue.SimpleQueue()

    def mend(trouble: WorkerError | None) -> None:
        (faults / fault).unlink(missing_ok=True)
        troubles.put(trouble)

    worker.on_trouble = mend
    (faults / fault).touch()
    listener = submitted(worker, drawing(1))
    assert isinstance(troubles.get(timeout=LIMIT_S), WorkerError)
    assert troubles.get(timeout=LIMIT_S) is None
    listener.pixels()
    assert worker.trouble is None
    assert {"hangs": "seems to hang", "lost": "device lost"}.get(fault, "has ended") in caplog.text


def test_a_process_that_says_nothing_is_started_again(start: Callable[..., GpuProcess]) -> None:
    worker = start(silence_s=2.0)
    stopped = worker.process_id
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    submitted(worker, drawing(1)).pixels()
    assert worker.process_id != stopped


def test_nothing_new_is_taken_while_starting_again_does_not_help(
    start: Callable[..., GpuProcess], faults: Path
) -> None:
    worker = start()
    troubles: queue.SimpleQueue[WorkerError | None] = queue.SimpleQueue()
    worker.on_trouble = troubles.put
    (faults / "no load").touch()
    _kill(worker)
    held = submitted(worker, drawing(1))
    early = encoding(worker, uploads.photo())
    with pytest.raises(WorkerError, match="does not help"):
        early.result(LIMIT_S)
    with pytest.raises(WorkerError, match="does not help"):
        encoding(worker, uploads.photo()).result(0)
    (faults / "no load").unlink()
    held.pixels()
    assert worker.trouble is None
    assert troubles.get(timeout=LIMIT_S) is not None


def test_a_model_that_does_not_load_at_first_is_told_and_not_tried_again(
    start: Callable[..., GpuProcess], faults: Path
) -> None:
    (faults / "no load").touch()
    worker = start()
    with pytest.raises(OSError, match="the disk is gone"):
        worker.loaded.result(LIMIT_S)
    worker._thread.join(LIMIT_S)
    assert not worker.is_running


def test_what_is_sent_to_load_a_model_holds_no_secret() -> None:
    load = model_loader(load_settings(None, discord_token="a-secret-token", database_url="sqlite+aiosqlite:////secret"))
    assert b"secret" not in pickle.dumps(load)


def test_a_worker_started_as_the_bot_does_knows_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "a-secret-token")
    worker = GpuProcess(load_tiny, 4)
    worker.start()
    worker.loaded.result(LIMIT_S)
    submitted(worker, drawing(1)).pixels()
    process_id = worker.process_id
    environment = Path(f"/proc/{process_id}/environ").read_bytes()
    assert b"a-secret-token" not in environment
    worker.stop()
    assert not Path(f"/proc/{process_id}").exists()


PARENT = """
import os, socket, subprocess, sys, time
mine, theirs = socket.socketpair()
module = [sys.executable, "-m", "bot.workers.process_child", str(theirs.fileno()), str(os.getpid())]
print(subprocess.Popen(module, pass_fds=[theirs.fileno()]).pid, flush=True)
time.sleep(1000)
"""


def test_no_worker_outlives_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    ended, _, _ = select.select([child], [], [], LIMIT_S)
    os.close(child)
    assert ended
