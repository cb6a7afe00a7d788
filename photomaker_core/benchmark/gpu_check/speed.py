"""Speed: pictures a second beside diffusers' pipeline, and how long each part of a picture takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from photomaker_core.benchmark.diffusers_pipeline import PipelineServer, draw_together
from photomaker_core.benchmark.engine_server import TimedEngine
from photomaker_core.benchmark.gpu_check.sections import Record, Tables
from photomaker_core.benchmark.measurements import ENGINE, MEMBERS, Benchmark
from photomaker_core.benchmark.timing import median_s, now_s
from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS, Run
from photomaker_core.models.vae import decode_in_tiles
from photomaker_core.sampling.generation import Generation, GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine

_TIMES = 5
_WARM_UP_STEPS = 2


def pipeline_throughput(benchmark: Benchmark) -> Tables:
    """Pictures a second of diffusers' pipeline, without a person, one picture a call."""
    pipeline, settings, people = benchmark.model.base.pipeline, benchmark.settings, len(benchmark.people)
    brief = replace(settings, steps=_WARM_UP_STEPS)
    Run(PipelineServer(pipeline, brief)).members(1, 1, people, seed=0)
    rate = Run(PipelineServer(pipeline, settings)).members(1, benchmark.pictures, people, seed=1)
    return _rates(settings, {"diffusers' pipeline, one picture a call": rate})


def pipeline_throughput_together(benchmark: Benchmark) -> Tables:
    """The same of as many pictures in one call as the engine draws at most, decoded one by one."""
    base, settings, pictures = benchmark.model.base, benchmark.settings, max(MEMBERS)
    base.vae.enable_slicing()
    try:
        draw_together(base.pipeline, replace(settings, steps=_WARM_UP_STEPS), pictures)
        seconds = median_s(base.hardware.device, lambda: draw_together(base.pipeline, settings, pictures), 1)
    finally:
        base.vae.disable_slicing()
    return _rates(settings, {f"diffusers' pipeline, {pictures} pictures a call": pictures / seconds})


def throughput(benchmark: Benchmark, name: str, members: int) -> Tables:
    """Pictures a second of one of our servers with so many members who ask again as soon as they are served."""
    people, settings = len(benchmark.people), benchmark.settings
    warm_up = replace(benchmark, settings=replace(settings, steps=_WARM_UP_STEPS))
    Run(warm_up.server(name)).members(members, 1, people, seed=0)
    run, each = Run(benchmark.server(name)), max(1, benchmark.pictures // members)
    return _rates(settings, {f"{name}, {members} members": run.members(members, each, people, seed=1)})


def _rates(settings: GenerationSettings, rates: dict[str, float]) -> Tables:
    title = f"Throughput at {settings.width} x {settings.height}, {settings.steps} steps"
    return {title: [{"server": name, "pictures a second": rate} for name, rate in rates.items()]}


def shares(benchmark: Benchmark) -> Tables:
    """The share of a picture's time outside UNet and VAE, for one member and for the most."""
    records: list[Record] = []
    for members, each in ((1, 2), (max(MEMBERS), 1)):
        share = benchmark.time_share(ENGINE, members, each, seed=2)
        records.append(
            {
                "server": f"{ENGINE}, {members} members",
                "s a picture": share["total"],
                "UNet": share["unet"],
                "VAE": share["vae"],
                "outside both": share["outside"],
                "share outside": share["outside_share"],
            }
        )
    return {"Where the time goes": records}


def step_times(benchmark: Benchmark) -> Tables:
    """Milliseconds of a guided step, in all and in the UNet; how soon Python has queued it; arithmetic a second."""
    engine = TimedEngine(benchmark.model)
    device = benchmark.model.base.hardware.device
    counter = FlopCounterMode(display=False)
    with counter:
        engine.step(_begun(engine, benchmark, 1))
    records: list[Record] = []
    for pictures in MEMBERS:
        batch = _begun(engine, benchmark, pictures)
        engine.step(batch)
        queued = []
        for _ in range(_TIMES):
            started_s = now_s(device)
            engine.step(batch)
            queued.append(time.perf_counter() - started_s)
        step_s = median_s(device, lambda batch=batch: engine.step(batch), _TIMES)  # type: ignore[misc]
        with engine.timed_unet() as clock:
            for _ in range(_TIMES):
                engine.step(batch)
        unet_s = clock.unet_s / _TIMES
        records.append(
            {
                "pictures": pictures,
                "step (ms)": 1e3 * step_s,
                "UNet (ms)": 1e3 * unet_s,
                "queued after (ms)": 1e3 * statistics.median(queued),
                "step a picture (ms)": 1e3 * step_s / pictures,
                "TFLOP/s in the UNet": pictures * counter.get_total_flops() / unet_s / 1e12,
            }
        )
    return {"One guided step": records}


def part_times(benchmark: Benchmark) -> Tables:
    """Milliseconds of everything that is done once a picture or once a request."""
    model, photos = benchmark.model, benchmark.people[0]
    engine, device, vae = StepEngine(model), model.base.hardware.device, model.base.vae
    features = model.encode_photos(photos)
    generation = _begun(engine, benchmark, 1)[0]
    engine.preview(generation)

    def condition() -> None:
        model.base.text.clear()
        engine.condition(PROMPTS[0], NEGATIVE, features)

    work: dict[str, Callable[[], object]] = {
        "one ID photo to features": lambda: model.encode_photos(photos[:1]),
        f"{len(photos)} ID photos to features": lambda: model.encode_photos(photos),
        "conditioning, prompts not seen before": condition,
        "conditioning, prompts in the cache": lambda: engine.condition(PROMPTS[0], NEGATIVE, features),
        "one preview": lambda: engine.preview(generation),
        "decoding latents to pixels": lambda: engine.decode(generation.latents),
        "decoding to a PIL picture": lambda: engine.finish(generation),
    }
    records: list[Record] = []
    for name, one in work.items():
        one()
        records.append({"part": name, "ms": 1e3 * median_s(device, one, _TIMES)})
    decode_in_tiles(vae)
    engine.decode(generation.latents)
    tiled_s = median_s(device, lambda: engine.decode(generation.latents), _TIMES)
    vae.disable_tiling()
    return {"Once a picture or a request": [*records, {"part": "decoding in tiles", "ms": 1e3 * tiled_s}]}


def _begun(engine: StepEngine, benchmark: Benchmark, pictures: int) -> list[Generation]:
    model = engine.model
    features = torch.zeros(1, model.id_encoder.tokens_per_photo, model.id_encoder.width)
    conditioning = engine.condition(PROMPTS[0], NEGATIVE, features)
    settings = replace(benchmark.settings, steps=100)
    return [engine.begin(conditioning, replace(settings, seed=seed)) for seed in range(pictures)]
