"""Measurements of faster steps: by the UNet's memory layout, and by compiling its blocks."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from photomaker_core.benchmark.gpu_check.sections import Record, Tables
from photomaker_core.benchmark.measurements import Benchmark
from photomaker_core.benchmark.timing import median_s
from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS
from photomaker_core.memory.unet_layout import LAYOUTS
from photomaker_core.sampling.compilation import compile_and_keep
from photomaker_core.sampling.step_engine import StepEngine

_TIMES = 5
_TITLE = "Faster steps (ms)"


def layouts(benchmark: Benchmark) -> Tables:
    """Milliseconds of a step in each layout; the UNet is as it was when this returns."""
    unet = benchmark.model.base.unet
    records = []
    for name in ("as loaded", "channels_last", "both"):
        LAYOUTS[name].apply(unet)
        records.append(_step_ms(benchmark, name))
    unet.to(memory_format=torch.contiguous_format)
    records.append(_step_ms(benchmark, "fused_qkv"))
    unet.unfuse_qkv_projections()
    return {_TITLE: records}


def compiled(benchmark: Benchmark) -> Tables:
    """Milliseconds of a step with compiled blocks, and what compiling takes; the UNet stays compiled."""
    with tempfile.TemporaryDirectory() as folder:
        artefacts, started_s = Path(folder) / "compiled", time.perf_counter()
        compile_and_keep(benchmark.model, artefacts)
        taken_s, size = time.perf_counter() - started_s, artefacts.stat().st_size
    return {
        _TITLE: [_step_ms(benchmark, "compiled blocks")],
        "Compiling": [{"seconds": taken_s, "kept (MiB)": size / 2**20}],
    }


def _step_ms(benchmark: Benchmark, name: str) -> Record:
    engine, device = StepEngine(benchmark.model), benchmark.model.base.hardware.device
    features = torch.zeros(1, benchmark.model.id_encoder.tokens_per_photo, benchmark.model.id_encoder.width)
    conditioning = engine.condition(PROMPTS[0], NEGATIVE, features)
    settings = replace(benchmark.settings, steps=100)
    record: Record = {"UNet": name}
    for pictures in (1, benchmark.max_batch):
        batch = [engine.begin(conditioning, settings) for _ in range(pictures)]
        engine.step(batch)
        record[f"{pictures} pictures"] = 1e3 * median_s(device, lambda batch=batch: engine.step(batch), _TIMES)  # type: ignore[misc]
    return record
