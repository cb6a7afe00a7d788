"""Memory plans on the card: the most that each allocates, beside what it promises, and what it costs in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from photomaker_core.benchmark.gpu_check.sections import Record, Tables
from photomaker_core.benchmark.memory_peaks import Stage, drawn_in_stages
from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.footprint import Footprint
from photomaker_core.memory.plans import MemoryPlan
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine

_MIB = 2**20
_PICTURES = 4


class PlanCheck:
    """Draws the same picture under one plan after another."""

    def __init__(
        self, load: Callable[[MemoryPlan], PhotoMaker], photos: Sequence[Image.Image], settings: GenerationSettings
    ) -> None:
        self._load, self._photos, self._settings = load, photos, settings
        self._first: dict[bool, np.ndarray] = {}

    def measure(self, plan: MemoryPlan) -> Tables:
        """The plan's peak, as promised and as allocated in each stage; seconds of each stage."""
        before = _allocated()
        started_s = time.perf_counter()
        model = self._load(plan)
        loaded_s, at_rest = time.perf_counter() - started_s, _allocated() - before
        stages, picture = drawn_in_stages(model, self._photos, self._settings, before)
        peak = max(stage.peak for stage in stages.values())
        assert model.footprint is not None
        expected = model.footprint.peak(plan)
        memory: Record = {
            "plan": plan.name,
            "expected": round(expected / _MIB),
            "measured": round(peak / _MIB),
            "measured / expected": peak / expected,
            f"step of {_PICTURES} pictures, expected": round(_expected_step(model.footprint, plan) / _MIB),
            f"step of {_PICTURES} pictures, measured": round(self._together(model, before) / _MIB),
            "mean difference of the picture (levels)": self._difference(plan, picture),
        }
        return {
            "Peak memory of a plan (MiB)": [memory],
            "Peak memory by stage (MiB)": [
                _stages(plan, stages, "loaded", at_rest / _MIB, lambda one: one.peak / _MIB)
            ],
            "Time by stage (s)": [_stages(plan, stages, "loading", loaded_s, lambda one: one.seconds)],
        }

    def _together(self, model: PhotoMaker, before: int) -> int:
        """The peak of one step of several pictures."""
        engine = StepEngine(model)
        features = torch.zeros(1, model.id_encoder.tokens_per_photo, model.id_encoder.width)
        conditioning = engine.condition(PROMPTS[0], NEGATIVE, features)
        batch = [engine.begin(conditioning, replace(self._settings, seed=seed)) for seed in range(_PICTURES)]
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        engine.step(batch)
        return torch.cuda.max_memory_allocated() - before if torch.cuda.is_available() else 0

    def _difference(self, plan: MemoryPlan, picture: Image.Image) -> float:
        """From the first plan's that decodes in the same way."""
        pixels = np.asarray(picture).astype(float)
        return float(np.abs(pixels - self._first.setdefault(plan.tiled_vae, pixels)).mean())


def _expected_step(footprint: Footprint, plan: MemoryPlan) -> int:
    weights = {"none": footprint.resident(plan), "model": footprint.unet, "sequential": footprint.largest_layer}
    return weights[plan.offload] + _PICTURES * footprint.step


def _stages(
    plan: MemoryPlan, stages: dict[str, Stage], first: str, value: float, of: Callable[[Stage], float]
) -> Record:
    record: Record = {"plan": plan.name, first: value}
    return record | {name: of(stage) for name, stage in stages.items()}


def _allocated() -> int:
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
