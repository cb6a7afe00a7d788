"""Parity with the reference: runs golden cases and compares every tensor. Called by ``photomaker parity``.

The format of a golden folder is that of ``tests/golden/README.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import DDIMScheduler
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from photomaker_core.conditioning.stacking import stack_identity
from photomaker_core.errors import ModelError
from photomaker_core.images.preprocessing import clip_pixels
from photomaker_core.loading.adapter import load_adapter
from photomaker_core.loading.base_model import Hardware, load_base
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine

TOLERANCES: Final[dict[str, float]] = {
    "class_tokens_mask": 0.0,
    "id_pixel_values": 1e-3,
    "identity_prompt_embeds": 1e-4,
    "merged_prompt_embeds": 1e-4,
    "identity_pooled": 1e-4,
    "text_prompt_embeds": 1e-4,
    "text_pooled": 1e-4,
    "negative_prompt_embeds": 1e-4,
    "negative_pooled": 1e-4,
    "latents_per_step": 5e-4,
    "image": 5e-4,
}
_STYLE_NAME: Final = "style"
_REFERENCE_CHUNKS: Final = 1
"""The reference cuts a prompt after 77 tokens."""


@dataclass(frozen=True, slots=True)
class GoldenFolders:
    """The folders of the cases, the adapters, the base model and the photos."""

    cases: Path
    adapters: Path
    base: Path
    photos: Path


@dataclass(frozen=True, slots=True)
class CaseResult:
    """Largest absolute difference by tensor name."""

    name: str
    differences: Mapping[str, float]

    @property
    def passed(self) -> bool:
        return all(self.differences[name] <= TOLERANCES[name] for name in self.differences)


class _GivenFaces:
    """Hands out the golden case's face embeddings, which came from outside, in their order."""

    fingerprint = "given"

    def __init__(self, embeddings: Tensor) -> None:
        self._embeddings = iter(embeddings)

    def embed(self, photo: Image.Image) -> Tensor:
        embedding: Tensor = next(self._embeddings)
        return embedding


def case_names(folders: GoldenFolders) -> list[str]:
    """The cases of a folder; raises :class:`ModelError` when there is none."""
    names = sorted(path.stem for path in folders.cases.glob("*.json") if path.with_suffix(".safetensors").exists())
    if not names:
        raise ModelError(f"There are no golden cases (NAME.json with NAME.safetensors) in {folders.cases}.")
    return names


def run_case(folders: GoldenFolders, name: str) -> CaseResult:
    """Draw one case in fp32 on the CPU and compare it with its golden tensors.

    A case without photos is given its golden ``id_pixel_values`` instead.
    """
    case: dict[str, Any] = json.loads((folders.cases / f"{name}.json").read_text())
    golden = load_file(folders.cases / f"{name}.safetensors")
    model = _model(folders, case, golden)
    engine = StepEngine(model)
    photos = [Image.open(folders.photos / photo).convert("RGB") for photo in case.get("photos", [])]
    if photos:
        features = model.encode_photos(photos)
        found = {"id_pixel_values": clip_pixels(photos).unsqueeze(0)}
    else:
        with torch.no_grad():
            features = model.id_encoder.features(golden["id_pixel_values"][0], golden.get("face_embeddings"))
        found = {}
    style_loras = ((_STYLE_NAME, float(case["style"])),) if case.get("style") else ()
    conditioning = engine.condition(case["prompt"], case["neg"], features, style_loras)
    text = model.text_encoders_under(style_loras)
    stacked = stack_identity(text, model.id_encoder, case["prompt"], model.trigger_word, features)
    mask = torch.zeros(1, 77, dtype=torch.uint8)
    mask[0, stacked.prompts[1].class_tokens] = 1
    found |= {
        "class_tokens_mask": mask,
        "identity_prompt_embeds": stacked.before_fusing.tokens,
        "merged_prompt_embeds": conditioning.merged.tokens,
        "identity_pooled": conditioning.merged.pooled,
        "text_prompt_embeds": conditioning.text.tokens,
        "text_pooled": conditioning.text.pooled,
        "negative_prompt_embeds": conditioning.negative.tokens,
        "negative_pooled": conditioning.negative.pooled,
    }
    settings = GenerationSettings(
        width=case["width"],
        height=case["height"],
        steps=case["steps"],
        guidance_scale=case["g"],
        scheduler=case["sched"],
        start_merge_step=case["merge"],
        style_loras=style_loras,
    )
    generations = [engine.begin(conditioning, settings, noise) for noise in golden["initial_noise"].split(1)]
    if case["sched"] == "ddim":
        for generation in generations:
            generation.scheduler = _reference_ddim(model, case["steps"])
    trajectory = []
    while not generations[0].is_done:
        engine.step(generations)
        trajectory.append(torch.cat([generation.latents for generation in generations]))
    found["latents_per_step"] = torch.stack(trajectory)
    found["image"] = torch.cat([engine.decode(generation.latents) for generation in generations])
    return CaseResult(
        name, {key: _difference(found[key], golden[key]) for key in TOLERANCES if key in found and key in golden}
    )


def _model(folders: GoldenFolders, case: dict[str, Any], golden: Mapping[str, Tensor]) -> PhotoMaker:
    adapter_path = folders.adapters / f"photomaker-{case['ver']}.safetensors"
    if not adapter_path.exists():
        adapter_path = adapter_path.with_suffix(".bin")
    faces = golden.get("face_embeddings")
    model = PhotoMaker(
        load_base(str(folders.base), Hardware(torch.device("cpu"), torch.float32)),
        load_adapter(adapter_path),
        face_embedder=None if faces is None else _GivenFaces(faces),
        fuse_lora=bool(case.get("fuse")),
        max_chunks=_REFERENCE_CHUNKS,
    )
    if case.get("style"):
        model.add_style_lora(_STYLE_NAME, folders.adapters / "style.safetensors")
    return model


def _reference_ddim(model: PhotoMaker, steps: int) -> DDIMScheduler:
    """DDIM as the reference makes it: whatever the base's configuration leaves out is diffusers' default.

    That clips the estimate to -1..1 on the tiny base, where ours never clips latents.
    """
    scheduler = DDIMScheduler.from_config(model.base.pipeline.scheduler.config)
    scheduler.set_timesteps(steps)
    return scheduler


def _difference(found: Tensor, golden: Tensor) -> float:
    if found.shape != golden.shape:
        return float("inf")
    return float((found.double() - golden.double()).abs().max())
