"""The runner with a real engine: who is drawn when, what is counted, and that nothing is left behind."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import Generation, GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Cancelled, Event, Failed, Finished, ImageJob, Progress, Runner, Started

WALKS = int(os.environ.get("RUNNER_WALKS", "6"))
PROMPTS = ("a man img", "a woman img by the sea")
SCHEDULERS = ("euler", "euler_a", "dpmpp_2m", "ddim")
ENDS = (Finished, Failed, Cancelled)


class Watched(StepEngine):
    """The engine, with an eye on its batches and on whether generations are let go."""

    def __init__(self, model: PhotoMaker) -> None:
        super().__init__(model)
        self.batches: list[int] = []
        self.alive: weakref.WeakSet[Generation] = weakref.WeakSet()

    def step(self, generations: Sequence[Generation]) -> None:
        super().step(generations)
        self.batches.append(len(generations))
        self.alive.update(generations)


@pytest.fixture
def engine(tiny_model: PhotoMaker) -> Watched:
    return Watched(tiny_model)


def features(person: int) -> Tensor:
    return torch.randn(2, 1, 256, generator=torch.Generator().manual_seed(person))


def drawing(
    job_id: int,
    *,
    member: int = 0,
    steps: int = 4,
    pictures: int = 1,
    kind: int = 0,
    width: int = 64,
    scheduler: str = "euler",
) -> ImageJob:
    sizes = [
        GenerationSettings(width=width, height=64, steps=steps, seed=kind + index, scheduler=scheduler)
        for index in range(pictures)
    ]
    return ImageJob(job_id, PROMPTS[kind % 2], None, features(kind % 2), sizes, member=member)


def run(runner: Runner) -> None:
    while not runner.is_idle:
        runner.tick()


def end(events: list[Event]) -> Event:
    assert sum(isinstance(event, ENDS) for event in events) == 1
    assert isinstance(events[-1], ENDS)
    return events[-1]


def pixels(events: list[Event]) -> np.ndarray:
    event = end(events)
    assert isinstance(event, Finished), event
    return np.stack([np.asarray(picture) for picture in event.pictures]).astype(int)


def drawn_alone(engine: Watched) -> np.ndarray:
    """The pixels of ``drawing(1)`` with nothing beside it."""
    events: list[Event] = []
    runner = Runner(engine, max_batch=1)
    runner.submit(drawing(1), events.append)
    run(runner)
    return pixels(events)


def test_a_new_member_is_drawn_at_once_beside_a_member_with_twenty_jobs(engine: Watched) -> None:
    runner = Runner(engine, max_batch=2)
    for job_id in range(20):
        runner.submit(drawing(job_id, member=1, steps=8), lambda _event: None)
    for _ in range(5):
        runner.tick()
    news: list[Event] = []
    runner.submit(drawing(99, member=2, steps=8), news.append)
    for _ in range(8):
        runner.tick()
    assert isinstance(end(news), Finished)
    assert isinstance(news[0], Started)
    runner.abort(RuntimeError("enough"))
    assert runner.is_idle


def test_pictures_of_other_sizes_take_turns(engine: Watched) -> None:
    runner, small, wide = Runner(engine, max_batch=4), [], []
    runner.submit(drawing(1, member=1, pictures=2), small.append)
    runner.submit(drawing(2, member=2, pictures=2, width=96), wide.append)
    run(runner)
    assert pixels(small).shape == (2, 64, 64, 3)
    assert pixels(wide).shape == (2, 64, 96, 3)
    assert set(engine.batches) == {2}


def test_a_cancelled_jobs_place_is_taken_in_the_next_step(engine: Watched) -> None:
    runner, gone = Runner(engine, max_batch=1), []
    runner.submit(drawing(1, steps=50), gone.append)
    news: list[Event] = []
    runner.submit(drawing(2, steps=1), news.append)
    runner.tick()
    assert not news
    runner.cancel(1)
    assert isinstance(gone[-1], Cancelled)
    runner.tick()
    assert isinstance(end(news), Finished)
    assert len(engine.batches) == 2


def test_a_known_person_and_prompt_run_no_text_and_no_vision_encoder(engine: Watched) -> None:
    model = engine.model
    calls: list[str] = []
    watched = {"vision": model.id_encoder.vision_model} | {
        f"text {index}": encoder for index, encoder in enumerate(model.base.text.encoders)
    }
    hooks = [
        module.register_forward_hook(lambda *_args, name=name: calls.append(name)) for name, module in watched.items()
    ]
    runner = Runner(engine, max_batch=4)
    job = ImageJob(1, "a man img on a very new roof", "blurry", features(0), [GenerationSettings(64, 64, steps=2)])
    runner.submit(job, lambda _event: None)
    run(runner)
    assert sorted(set(calls)) == ["text 0", "text 1"]
    calls.clear()
    runner.submit(job, lambda _event: None)
    run(runner)
    for hook in hooks:
        hook.remove()
    assert calls == []


def test_pictures_of_one_job_are_conditioned_once(engine: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    conditioned: list[str] = []
    condition = StepEngine.condition

    def counted(self: StepEngine, prompt: str, *rest: Any) -> Any:
        conditioned.append(prompt)
        return condition(self, prompt, *rest)

    monkeypatch.setattr(StepEngine, "condition", counted)
    runner = Runner(engine, max_batch=2)
    runner.submit(drawing(1, pictures=4), lambda _event: None)
    run(runner)
    assert len(conditioned) == 1


def test_decoding_goes_on_between_steps(engine: Watched) -> None:
    """A clock that stands still allows no decoding while others wait; their steps come first."""
    runner, done, other = Runner(engine, max_batch=1, clock=lambda: 0.0), [], []
    runner.submit(drawing(1, member=1, steps=1), done.append)
    runner.submit(drawing(2, member=2, steps=5), other.append)
    for _ in range(5):
        runner.tick()
    assert not any(isinstance(event, Finished) for event in done)
    run(runner)
    assert pixels(done).shape == pixels(other).shape
    ticking = count()
    runner, done, other = Runner(engine, max_batch=1, clock=lambda: float(next(ticking))), [], []
    runner.submit(drawing(1, member=1, steps=1), done.append)
    runner.submit(drawing(2, member=2, steps=50), other.append)
    for _ in range(30):
        runner.tick()
    assert isinstance(end(done), Finished)
    assert not any(isinstance(event, Finished) for event in other)
    runner.abort(RuntimeError("enough"))


def test_previews_come_as_often_as_asked(engine: Watched) -> None:
    events: list[Event] = []
    times = iter(range(10_000))
    runner = Runner(engine, max_batch=1, preview_every_s=8, clock=lambda: float(next(times)))
    runner.submit(drawing(1, steps=12), events.append)
    run(runner)
    progress = [event for event in events if isinstance(event, Progress)]
    shown = [event.previews for event in progress if event.previews]
    assert len(progress) == 12
    assert 2 < len(shown) < 8
    assert {preview.size for previews in shown for preview in previews} == {(8, 8)}


def test_a_preview_that_fails_costs_no_picture(engine: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: StepEngine, _generation: Generation) -> Any:
        raise RuntimeError("no colours")

    monkeypatch.setattr(StepEngine, "preview", broken)
    assert drawn_alone(engine).shape == (1, 64, 64, 3)


def test_a_decode_short_of_memory_is_done_in_tiles(engine: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    block = engine.model.base.vae.decoder.mid_block
    forward = block.forward
    calls: list[int] = []

    def short(*inputs: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("no room")
        return forward(*inputs, **named)

    monkeypatch.setattr(block, "forward", short)
    assert drawn_alone(engine).shape == (1, 64, 64, 3)
    assert engine.model.base.vae.use_tiling
    engine.model.base.vae.disable_tiling()


def test_out_of_memory_shrinks_the_batch_until_the_queue_is_empty(
    engine: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Watched.step
    asked: list[int] = []

    def short(self: Watched, generations: Sequence[Generation]) -> None:
        asked.append(len(generations))
        if len(generations) > 2:
            raise torch.OutOfMemoryError("no room")
        step(self, generations)

    monkeypatch.setattr(Watched, "step", short)
    runner, events = Runner(engine, max_batch=4), []
    runner.submit(drawing(1, pictures=4, steps=3), events.append)
    run(runner)
    assert pixels(events).shape[0] == 4
    assert asked.count(4) == 1
    runner.submit(drawing(2, pictures=4, steps=1), lambda _event: None)
    runner.tick()
    assert asked[-3] == 4


@cache
def _alone(model: PhotoMaker, kind: int, steps: int, pictures: int, scheduler: str) -> np.ndarray:
    job = drawing(0, kind=kind, steps=steps, pictures=pictures, scheduler=scheduler)
    drawn = []
    for one in job.settings:
        events: list[Event] = []
        runner = Runner(StepEngine(model), max_batch=1)
        runner.submit(replace(job, settings=[one]), events.append)
        run(runner)
        drawn.append(pixels(events))
    return np.concatenate(drawn)


WALK = st.lists(
    st.one_of(
        st.tuples(
            st.just("join"), st.integers(0, 3), st.integers(0, 2), st.integers(1, 4), st.integers(1, 2),
            st.sampled_from(SCHEDULERS),
        ),
        st.tuples(st.just("leave"), st.integers(0, 7)),
        st.tuples(st.just("steps"), st.integers(1, 4)),
    ),
    max_size=10,
)  # fmt: skip


@settings(max_examples=WALKS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(walk=WALK, max_batch=st.integers(1, 4))
def test_whoever_comes_and_goes_nobodys_picture_changes(
    tiny_model: PhotoMaker, walk: list[tuple[Any, ...]], max_batch: int
) -> None:
    engine = Watched(tiny_model)
    runner = Runner(engine, max_batch)
    jobs: dict[int, tuple[tuple[Any, ...], list[Event]]] = {}
    left: set[int] = set()
    for action, *details in walk:
        if action == "join":
            member, *what = details
            kind, steps, pictures, scheduler = what
            events: list[Event] = []
            jobs[len(jobs)] = (tuple(what), events)
            runner.submit(
                drawing(len(jobs) - 1, member=member, kind=kind, steps=steps, pictures=pictures, scheduler=scheduler),
                events.append,
            )
        elif action == "leave":
            runner.cancel(details[0])
            left.add(details[0])
        else:
            for _ in range(details[0]):
                runner.tick()
    run(runner)
    for job_id, (what, events) in jobs.items():
        if isinstance(end(events), Cancelled):
            assert job_id in left
        else:
            assert np.abs(pixels(events) - _alone(tiny_model, *what)).max() <= 1
    assert all(size <= max_batch for size in engine.batches)
    jobs.clear()
    gc.collect()
    assert not engine.alive
    assert len(runner._queue) == len(runner._decoding) == 0
