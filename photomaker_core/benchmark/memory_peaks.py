"""Peak memory of each memory plan, as expected and as measured."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from PIL import Image

from photomaker_core.benchmark.measurements import Figures
from photomaker_core.benchmark.timing import now_s
from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.footprint import weight_bytes
from photomaker_core.memory.live_bytes import live_bytes
from photomaker_core.memory.plans import PLANS, MemoryPlan
from photomaker_core.sampling.generation import Generation, GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine

_STEPS: Final = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """The cost of one stage of drawing: the most bytes allocated on the device during it, and seconds."""

    peak: int
    seconds: float


def peaks(load: Callable[[MemoryPlan], PhotoMaker], settings: GenerationSettings) -> Figures:
    """Expected and measured peak bytes of a step and a decode under every plan that this machine can follow.

    On CUDA the allocator says what was used; on a CPU, weights and the tensors alive beside them are counted.
    """
    found: Figures = {}
    for plan in PLANS:
        if plan.offload != "none" and not torch.cuda.is_available():
            continue
        before = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
        model = load(plan)
        assert model.footprint is not None
        if torch.cuda.is_available():
            photos = [Image.new("RGB", (256, 256), "gray")]
            measured = max(stage.peak for stage in drawn_in_stages(model, photos, settings, before)[0].values())
        else:
            measured = _counted(model, settings)
        found[plan.name] = {"expected": model.footprint.peak(plan), "measured": measured}
        del model
        gc.collect()
    return found


def drawn_in_stages(
    model: PhotoMaker, photos: Sequence[Image.Image], settings: GenerationSettings, before: int
) -> tuple[dict[str, Stage], Image.Image]:
    """A picture in a few steps, and a second request that is conditioned while it is drawn and after it is decoded.

    Peaks are counted above ``before`` bytes, those that others had allocated before the model was loaded; without
    CUDA they are 0. Returns the picture, too.
    """
    engine, device, stages = StepEngine(model), model.base.hardware.device, dict[str, Stage]()

    def measured(name: str, work: Callable[[], object]) -> object:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started_s = now_s(device)
        result = work()
        seconds = now_s(device) - started_s
        peak = torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else 0
        stages[name] = Stage(peak, seconds)
        return result

    def condition(prompt: str) -> Generation:
        model.base.text.clear()
        return engine.begin(engine.condition(prompt, NEGATIVE, features), replace(settings, steps=_STEPS))

    features = model.encode_photos(photos)
    measured("ID photos", lambda: model.encode_photos(photos))
    generation = condition(PROMPTS[0])
    measured("conditioning", lambda: condition(PROMPTS[0]))
    measured("first step", lambda: engine.step([generation]))
    measured("step", lambda: engine.step([generation]))
    measured("conditioning between steps", lambda: condition(PROMPTS[1]))
    measured("ID photos between steps", lambda: model.encode_photos(photos))
    measured("last step", lambda: engine.step([generation]))
    measured("preview", lambda: engine.preview(generation))
    picture = measured("decode", lambda: engine.finish(generation))
    measured("conditioning after a decode", lambda: condition(PROMPTS[2]))
    assert isinstance(picture, Image.Image)
    return stages, picture


def _counted(model: PhotoMaker, settings: GenerationSettings) -> int:
    engine, base = StepEngine(model), model.base
    features = torch.zeros(1, model.id_encoder.tokens_per_photo, model.id_encoder.width)
    generation = engine.begin(engine.condition(PROMPTS[0], NEGATIVE, features), replace(settings, steps=2))
    encoders = 0 if model.plan.offloads_encoders else weight_bytes(*base.text.encoders, model.id_encoder)
    resident = weight_bytes(base.unet, base.vae) + encoders
    step = live_bytes(base.unet, lambda: engine.step([generation]))
    decode = live_bytes(base.vae, lambda: engine.decode(generation.latents))
    visiting = weight_bytes(*base.text.encoders, model.id_encoder) if model.plan.offloads_encoders else 0
    return resident + max(step, decode, visiting)
