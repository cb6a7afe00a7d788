"""Half precision on the card: neighbours in a batch, the distance to float32, and a VAE that float16 overflows in."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from photomaker_core.benchmark.gpu_check.sections import Record, Tables
from photomaker_core.benchmark.random_sdxl import RandomSdxl
from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS
from photomaker_core.loading.base_model import Hardware
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.plans import PLANS_BY_NAME
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine

_PICTURES = 4
_OVERFLOW = 60_000
"""Times this, the first layer's outputs pass float16's largest number, as those of SDXL's VAE do further inside."""


def neighbours(model: PhotoMaker, settings: GenerationSettings) -> Tables:
    """Measure the distance of a picture drawn alone from itself: drawn again, among four, and in float32."""
    engine = StepEngine(model)
    alone = _latents(engine, settings, 1)
    pixels = engine.decode(alone)
    dtype = _name(model.base.hardware.dtype)
    records: list[Record] = []
    with _in_float32(model):
        exact = _latents(engine, settings, 1)
    others = {
        "alone again": _latents(engine, settings, 1),
        f"first of {_PICTURES}": _latents(engine, settings, _PICTURES),
        "alone in float32": exact,
    }
    for name, latents in others.items():
        levels = (engine.decode(latents) - pixels).abs() * 255
        records.append(
            {
                "precision": dtype,
                "compared with": name,
                "latents, largest difference": float((latents - alone).abs().max()),
                "latents, standard deviation": float(alone.std()),
                "pixels, largest difference (levels)": float(levels.max()),
                "pixels, mean difference (levels)": float(levels.mean()),
                "all finite": bool(latents.isfinite().all() and levels.isfinite().all()),
            }
        )
    return {f"One picture alone, {settings.steps} steps": records}


def other_precision(random: RandomSdxl, dtype: torch.dtype, settings: GenerationSettings) -> Tables:
    """Both checks in another precision than that of the weights."""
    model = random.photomaker(PLANS_BY_NAME["full"], dtype=dtype)
    return neighbours(model, settings) | overflowing_vae(model, settings)


def overflowing_vae(model: PhotoMaker, settings: GenerationSettings) -> Tables:
    """Check that previews and pictures are finite with a VAE that overflows in float16.

    ``model``'s VAE is spoilt for anything else.
    """
    base, engine = model.base, StepEngine(model)
    for coder in (base.vae.encoder, base.vae.decoder):
        coder.conv_in.weight = nn.Parameter(coder.conv_in.weight * _OVERFLOW, requires_grad=False)
    generation = engine.begin(engine.condition(PROMPTS[0], NEGATIVE, None), replace(settings, steps=1))
    preview = engine.preview(generation)
    engine.step([generation])
    with torch.no_grad():
        scaled = generation.latents / base.vae.config.scaling_factor
        plain = copy.deepcopy(base.vae).half().decode(scaled.half()).sample
    decoded = engine.decode(generation.latents)
    colours = preview.getcolors(preview.width * preview.height) or []
    return {
        "A VAE that overflows in float16": [
            {
                "precision": _name(base.hardware.dtype),
                "VAE runs in": _name(base.vae.dtype),
                "finite without the upcast": bool(plain.isfinite().all()),
                "picture is finite": bool(decoded.isfinite().all()),
                "colours in the preview": len(colours),
            }
        ]
    }


@torch.no_grad()
def _latents(engine: StepEngine, settings: GenerationSettings, pictures: int) -> Tensor:
    """The finished latents of the first of so many pictures that share every step."""
    batch = [
        engine.begin(
            engine.condition(PROMPTS[number % len(PROMPTS)].replace(" img", ""), NEGATIVE, None),
            replace(settings, seed=number),
        )
        for number in range(pictures)
    ]
    while not batch[0].is_done:
        engine.step(batch)
    return batch[0].latents


@contextmanager
def _in_float32(model: PhotoMaker) -> Iterator[None]:
    """The UNet in float32; its half-precision weights come back exactly."""
    base, before = model.base, model.base.hardware
    base.hardware = Hardware(before.device, torch.float32)
    base.unet.float()
    try:
        yield
    finally:
        base.unet.to(before.dtype)
        base.hardware = before


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
