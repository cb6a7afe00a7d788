"""Peak memory of each memory plan, as expected and as measured."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

import torch

from photomaker_core.benchmark.measurements import Figures
from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.footprint import live_bytes, weight_bytes
from photomaker_core.memory.plans import PLANS, MemoryPlan
from photomaker_core.sampling.generation import Generation, GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine


def peaks(load: Callable[[MemoryPlan], PhotoMaker], settings: GenerationSettings) -> Figures:
    """Expected and measured peak bytes of a step and a decode under every plan that this machine can follow.

    On CUDA the allocator says what was used; on a CPU, weights and the tensors alive beside them are counted.
    """
    found: Figures = {}
    for plan in PLANS:
        if plan.offload != "none" and not torch.cuda.is_available():
            continue
        model = load(plan)
        assert model.footprint is not None
        measured = _on_cuda(model, settings) if torch.cuda.is_available() else _counted(model, settings)
        found[plan.name] = {"expected": model.footprint.peak(plan), "measured": measured}
        del model
        gc.collect()
    return found


def _generation(engine: StepEngine, settings: GenerationSettings) -> Generation:
    features = torch.zeros(1, engine.model.id_encoder.tokens_per_photo, engine.model.id_encoder.width)
    return engine.begin(engine.condition(PROMPTS[0], NEGATIVE, features), replace(settings, steps=2))


def _on_cuda(model: PhotoMaker, settings: GenerationSettings) -> int:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    engine = StepEngine(model)
    generation = _generation(engine, settings)
    engine.step([generation])
    engine.finish(generation)
    return torch.cuda.max_memory_allocated()


def _counted(model: PhotoMaker, settings: GenerationSettings) -> int:
    engine, base = StepEngine(model), model.base
    generation = _generation(engine, settings)
    encoders = 0 if model.plan.offloads_encoders else weight_bytes(*base.text.encoders, model.id_encoder)
    resident = weight_bytes(base.unet, base.vae) + encoders
    step = live_bytes(base.unet, lambda: engine.step([generation]))
    decode = live_bytes(base.vae, lambda: engine.decode(generation.latents))
    visiting = weight_bytes(*base.text.encoders, model.id_encoder) if model.plan.offloads_encoders else 0
    return resident + max(step, decode, visiting)
