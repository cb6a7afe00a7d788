"""Numbers that are none: refused where they enter, and told, to one member alone, where they come up in the drawing."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from photomaker_core.conditioning.identity_mixing import blend_stacks
from photomaker_core.errors import DrawingError, SettingsError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings, Img2ImgInit
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.fair_queue import FairQueue
from photomaker_core.serving.runner import Event, Failed, Finished, ImageJob, Progress, Runner

NUMBERLESS = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("value", NUMBERLESS)
@pytest.mark.parametrize(
    "name",
    [
        "width", "height", "steps", "seed", "guidance_scale", "style_strength_ratio", "start_merge_step",
        "guidance_rescale", "guidance_every", "cache_every",
    ],
)  # fmt: skip
def test_every_setting_is_a_finite_number(name: str, value: float) -> None:
    with pytest.raises(SettingsError):
        GenerationSettings(**{"width": 64, "height": 64} | {name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", NUMBERLESS)
def test_weights_and_strengths_are_finite_numbers(value: float) -> None:
    for how in ({"style_loras": (("ink", value),)}, {"guidance_interval": (0.0, value)}):
        with pytest.raises(SettingsError):
            GenerationSettings(64, 64, **how)  # type: ignore[arg-type]
    with pytest.raises(SettingsError):
        Img2ImgInit(Image.new("RGB", (64, 64)), value)
    with pytest.raises(ValueError, match="finite"):
        blend_stacks([torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)], [1.0, value], 4)
    with pytest.raises(ValueError, match="cannot be shared"):
        FairQueue[int]().add(1, member=1, key=1, weight=value)


def test_a_style_strength_out_of_range_is_explained() -> None:
    with pytest.raises(SettingsError, match="between 0 and 100; 150 is not"):
        GenerationSettings(64, 64, style_strength_ratio=150)


def finished(engine: StepEngine, **how: Any) -> Any:
    generation = engine.begin(engine.condition("a man", None, None), GenerationSettings(64, 64, steps=1), **how)
    engine.step([generation])
    return generation


@pytest.mark.parametrize("value", NUMBERLESS)
def test_latents_without_numbers_are_not_decoded(tiny_model: PhotoMaker, value: float) -> None:
    engine = StepEngine(tiny_model)
    generation = finished(engine)
    generation.latents[0, 0, 0, 0] = value
    with pytest.raises(DrawingError, match="broke while it was drawn"):
        engine.finish(generation)


def test_a_decode_that_overflows_in_float32_too_is_explained(tiny_model: PhotoMaker) -> None:
    engine = StepEngine(copy.deepcopy(tiny_model))
    generation = finished(engine)
    with torch.no_grad():
        engine.model.base.vae.decoder.conv_out.bias.fill_(math.inf)
    with pytest.raises(DrawingError):
        engine.finish(generation)


def test_a_picture_of_one_colour_is_noticed_unless_it_began_as_one(tiny_model: PhotoMaker) -> None:
    engine = StepEngine(copy.deepcopy(tiny_model))
    with torch.no_grad():
        engine.model.base.vae.decoder.conv_out.weight.zero_()
    with pytest.raises(DrawingError):
        engine.finish(finished(engine))
    start = Img2ImgInit(Image.new("RGB", (64, 64), "red"), 0.1)
    changed = engine.begin(engine.condition("a man", None, None), GenerationSettings(64, 64, steps=10), start=start)
    engine.step([changed])
    assert engine.finish(changed).size == (64, 64)


def test_a_broken_picture_ends_its_own_job_and_no_other(tiny_model: PhotoMaker) -> None:
    """Features without numbers, say of a photo encoded in half precision, spoil every step of their own picture."""

    def draw(*jobs: ImageJob) -> list[list[Event]]:
        runner = Runner(StepEngine(tiny_model), max_batch=4, preview_every_s=1e-9)
        told: list[list[Event]] = [[] for _ in jobs]
        for job, events in zip(jobs, told, strict=True):
            runner.submit(job, events.append)
        while not runner.is_idle:
            runner.tick()
        return told

    how = [GenerationSettings(64, 64, steps=3, start_merge_step=0)]
    good = ImageJob(1, "a man img", None, torch.ones(1, 1, 256), how)
    broken = ImageJob(2, "a man img", None, torch.full((1, 1, 256), math.nan), how)
    alone = draw(good)[0][-1]
    beside, failed = draw(good, broken)
    assert isinstance(failed[-1], Failed)
    assert isinstance(failed[-1].error, DrawingError)
    end = beside[-1]
    assert isinstance(end, Finished)
    assert isinstance(alone, Finished)
    pictures = [np.asarray(one.pictures[0]).astype(int) for one in (end, alone)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    previews = [event.previews for events in (beside, failed) for event in events if isinstance(event, Progress)]
    assert all(len(shown) == 1 for shown in previews)
