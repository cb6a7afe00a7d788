"""Faults of the device in every phase of a drawing: each costs the picture that meets it, and no other.

The model is the tiny one, and the faults are hooks of its own modules.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from photomaker_core.errors import DrawingError, PhotoError
from photomaker_core.loading.base_model import Hardware, load_base
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.device_faults import DeviceLostError
from photomaker_core.models.vae import Decoding, decode_in_parts
from photomaker_core.sampling.generation import GenerationSettings, Img2ImgInit
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.photo_encoding import encode_stored_photos
from photomaker_core.serving.runner import Cancelled, Event, Failed, Finished, ImageJob, Progress, Runner
from tests.support import uploads
from tests.support.tiny_model import TINY_BASE

ALWAYS = 10**9


@pytest.fixture
def model(tiny_model: PhotoMaker) -> PhotoMaker:
    return copy.deepcopy(tiny_model)


class OutOfMemory:
    """Before a module computes, memory runs out so many ``times``, where ``applies`` says so of its first input."""

    def __init__(self, module: nn.Module, times: int = ALWAYS, applies: Callable[[Any], bool] = lambda _: True) -> None:
        self.left, self._applies = times, applies
        self.was_met = 0
        module.register_forward_pre_hook(self._raise)

    def _raise(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self.left and self._applies(inputs[0] if inputs else None):
            self.left, self.was_met = self.left - 1, self.was_met + 1
            raise torch.OutOfMemoryError("no room on the card")


class Drawn:
    """A runner whose jobs' events are kept."""

    def __init__(self, model: PhotoMaker) -> None:
        self.runner = Runner(StepEngine(model), max_batch=4, preview_every_s=1e-9)
        self.events: dict[int, list[Event]] = {}

    def submit(self, job_id: int, *, steps: int = 3, count: int = 1, start: Img2ImgInit | None = None) -> None:
        how = [GenerationSettings(64, 64, steps=steps, seed=job_id + index) for index in range(count)]
        job = ImageJob(job_id, "a man img", None, torch.ones(1, 1, 256), how, member=job_id, start=start)
        self.events[job_id] = []
        self.runner.submit(job, self.events[job_id].append)

    def until_idle(self) -> None:
        while not self.runner.is_idle:
            self.runner.tick()

    def end(self, job_id: int) -> Event:
        ends = [one for one in self.events[job_id] if isinstance(one, Finished | Failed | Cancelled)]
        assert len(ends) == 1
        return ends[0]

    def error(self, job_id: int) -> Exception:
        ended = self.end(job_id)
        assert isinstance(ended, Failed)
        return ended.error

    def pixels(self, job_id: int) -> np.ndarray:
        ended = self.end(job_id)
        assert isinstance(ended, Finished)
        return np.stack([np.asarray(picture).astype(int) for picture in ended.pictures])


def alone(model: PhotoMaker, job_id: int, **how: Any) -> np.ndarray:
    drawn = Drawn(model)
    drawn.submit(job_id, **how)
    drawn.until_idle()
    return drawn.pixels(job_id)


def test_photos_are_encoded_in_halves_where_memory_is_short(model: PhotoMaker) -> None:
    photos = [uploads.photo(seed) for seed in range(3)]
    expected = encode_stored_photos(StepEngine(model), photos)
    fault = OutOfMemory(model.id_encoder.visual_projection, applies=lambda pooled: len(pooled) > 1)
    assert torch.allclose(encode_stored_photos(StepEngine(model), photos), expected, atol=1e-5)
    assert fault.was_met == 2


def test_a_photo_that_finds_no_room_is_told(model: PhotoMaker) -> None:
    OutOfMemory(model.id_encoder.visual_projection)
    with pytest.raises(PhotoError, match="not enough memory"):
        encode_stored_photos(StepEngine(model), [uploads.photo()])


def modules_of(model: PhotoMaker) -> dict[str, nn.Module]:
    """A module of every phase that a drawing goes through once."""
    return {
        "conditioning": model.id_encoder.fuse_module,
        "beginning": model.base.vae.encoder,
        "stepping": model.base.unet,
        "decoding": model.base.vae.decoder.conv_in,
    }


PHASES = ("conditioning", "beginning", "stepping", "decoding")
RED = Img2ImgInit(Image.radial_gradient("L").convert("RGB"), 0.9)


@pytest.mark.parametrize("phase", PHASES)
def test_memory_that_is_short_once_costs_nothing_or_next_to_it(model: PhotoMaker, phase: str) -> None:
    expected = alone(model, 1, count=2, start=RED, steps=2)
    fault = OutOfMemory(modules_of(model)[phase], times=1)
    found = alone(model, 1, count=2, start=RED, steps=2)
    assert fault.was_met == 1
    assert np.abs(found - expected).mean() < 3


@pytest.mark.parametrize("phase", PHASES)
def test_memory_that_stays_short_ends_the_job_that_meets_it(model: PhotoMaker, phase: str) -> None:
    expected = alone(model, 1)
    drawn = Drawn(model)
    drawn.submit(1)
    drawn.runner.tick()
    fault = OutOfMemory(modules_of(model)[phase])
    drawn.submit(2, start=RED)
    for _ in range(20):
        if fault.left and not any(isinstance(event, Failed) for event in drawn.events[2]):
            drawn.runner.tick()
    fault.left = 0
    assert isinstance(drawn.error(2), DrawingError)
    assert "not enough memory" in str(drawn.error(2))
    drawn.submit(3)
    drawn.until_idle()
    assert drawn.pixels(3).shape == (1, 64, 64, 3)
    if phase in ("conditioning", "beginning"):
        assert np.abs(drawn.pixels(1) - expected).max() <= 1


def test_a_failed_step_lets_go_of_its_tensors(model: PhotoMaker) -> None:
    """Halves are tried while the error is at hand; its traceback must not hold the layers' results."""
    alive: list[Any] = []
    held: list[int] = []

    class Activation:
        def __init__(self) -> None:
            alive.append(1)

        def __del__(self) -> None:
            alive.pop()

    def compute(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        held.append(len(alive))
        activation = Activation()
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("no room")
        del activation

    model.base.unet.register_forward_pre_hook(compute)
    alone(model, 1, count=2, steps=1)
    assert held == [0, 0, 0]


def test_latents_that_break_end_their_job_at_the_next_preview_and_no_other(model: PhotoMaker) -> None:
    """The numbers of one picture of a batch are spoilt at its second step of thirty."""
    expected = alone(model, 1, steps=4)
    engine, how = StepEngine(model), GenerationSettings(64, 64, steps=30)
    spoilt = float(engine.begin(engine.condition("a man", None, None), how).scheduler.timesteps[1])

    def spoil(_module: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor]) -> None:
        output[0][inputs[1] == spoilt] = math.nan

    model.base.unet.register_forward_hook(spoil)
    drawn = Drawn(model)
    drawn.submit(1, steps=4)
    drawn.submit(2, steps=30)
    drawn.until_idle()
    assert isinstance(drawn.error(2), DrawingError)
    assert max(event.step for event in drawn.events[2] if isinstance(event, Progress)) == 1
    assert np.abs(drawn.pixels(1) - expected).max() <= 1


def test_a_half_precision_vae_that_gives_one_colour_is_tried_in_float32() -> None:
    base = load_base(str(TINY_BASE), Hardware(torch.device("cpu"), torch.float16))

    def whiten(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
        return torch.full_like(output, 7.0) if output.dtype == torch.float16 else None

    base.vae.decoder.conv_out.register_forward_hook(whiten)
    pixels = decoded(decode_in_parts(base.vae, torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))))
    assert pixels.std() > 0
    assert base.vae.dtype == torch.float32


def decoded(parts: Decoding) -> Tensor:
    while True:
        try:
            next(parts)
        except StopIteration as end:
            pixels: Tensor = end.value
            return pixels


@pytest.mark.parametrize("phase", PHASES)
def test_a_lost_device_is_no_fault_of_a_picture(model: PhotoMaker, phase: str) -> None:
    def lose(_module: nn.Module, _inputs: Any) -> None:
        raise RuntimeError("Native API failed: UR_RESULT_ERROR_DEVICE_LOST")

    modules_of(model)[phase].register_forward_pre_hook(lose)
    drawn = Drawn(model)
    drawn.submit(1, start=RED)
    with pytest.raises(DeviceLostError):
        drawn.until_idle()
    assert not any(isinstance(event, Failed) for event in drawn.events[1])
