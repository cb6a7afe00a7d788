"""Tells what lies in a base model's folder or file before it is loaded: SDXL that can be drawn with, or what else.

Called by :mod:`~photomaker_core.loading.base_model`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from photomaker_core.errors import ModelError
from photomaker_core.loading.weight_files import check_readable, kind_of, tensor_shapes

MODEL_FILE_SUFFIXES: Final = frozenset((".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf"))
_MODEL_PARTS: Final = ("unet", "vae", "text_encoder", "text_encoder_2")
_OTHER_PARTS: Final = ("tokenizer", "tokenizer_2", "scheduler")
_WEIGHTS: Final = ("*.safetensors", "*.bin")
_VARIANTS: Final = ("fp16", "bf16", "fp32", "non_ema")
_FIRST_LAYER: Final = "model.diffusion_model.input_blocks.0.0.weight"
_V_PREDICTION: Final = {"prediction_type": "v_prediction"}
_ZERO_SNR: Final = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
_COSXL: Final = {
    "_class_name": "EDMEulerScheduler",
    "sigma_min": 0.002,
    "sigma_max": 120.0,
    "sigma_data": 1.0,
    "prediction_type": "v_prediction",
}
_NEEDED: Final = "PhotoMaker needs an SDXL base such as stabilityai/stable-diffusion-xl-base-1.0."
_CHANNELS: Final = {
    9: "an inpainting model (its UNet takes 9 channels, with a mask among them)",
    8: "a model that edits pictures (its UNet takes 8 channels)",
}


@dataclass(frozen=True, slots=True)
class BaseFile:
    """A single file that holds SDXL: whether a VAE is in it, and how its noise schedule differs from SDXL's."""

    has_vae: bool
    scheduler: dict[str, Any] = field(default_factory=dict)


def not_sdxl(source: str | Path, what: str) -> ModelError:
    """The error of a base that is ``what`` instead ("the SDXL refiner")."""
    return ModelError(f"The base model “{source}” is no SDXL model that can draw a text: it is {what}. {_NEEDED}")


def examine_file(path: Path) -> BaseFile:
    """Read the names and shapes in a single file; raises :class:`ModelError` for what is no whole SDXL."""
    shapes, metadata = tensor_shapes(path, "base model")
    if not any(name.startswith("conditioner.embedders.1.") for name in shapes):
        raise not_sdxl(path, kind_of(shapes) or "something else (PhotoMaker needs SDXL's two text encoders)")
    first = shapes.get(_FIRST_LAYER, ())
    if len(first) > 1:
        check_channels(path, first[1])
    return BaseFile(any(name.startswith("first_stage_model.") for name in shapes), _schedule(shapes, metadata))


def examine_folder(folder: Path) -> str | None:
    """Check a diffusers folder; returns the variant that its weights exist in alone, such as ``fp16``.

    Raises :class:`ModelError` for what is no whole SDXL.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(f"{folder} is no diffusers model folder: it has no model_index.json.")
    parts = _json(index)
    if "text_encoder_2" not in parts:
        raise not_sdxl(folder, "Stable Diffusion 1.5, 2.x or another model with one text encoder")
    if parts.get("text_encoder", [None])[0] is None:
        raise not_sdxl(folder, "the SDXL refiner")
    missing = [part for part in (*_MODEL_PARTS, *_OTHER_PARTS) if not (folder / part).is_dir()]
    if missing:
        raise ModelError(f"The base model “{folder}” cannot be loaded: it lacks {', '.join(missing)}.")
    unet = folder / "unet" / "config.json"
    if unet.is_file():
        config = _json(unet)
        check_channels(folder, config.get("in_channels", 4))
        if config.get("cross_attention_dim") == 1280:
            raise not_sdxl(folder, "the SDXL refiner")
    scheduler = folder / "scheduler" / "scheduler_config.json"
    if scheduler.is_file():
        check_schedule(folder, _json(scheduler).get("_class_name", ""))
    return _variant(folder)


def check_channels(source: str | Path, channels: int) -> None:
    """Raise :class:`ModelError` for a UNet that takes more than the latents."""
    if channels != 4:
        raise not_sdxl(source, _CHANNELS.get(channels, f"a model of another kind (its UNet takes {channels} channels)"))


def check_schedule(source: str | Path, scheduler: str) -> None:
    """Raise :class:`ModelError` for flow matching, which no sampler here can follow."""
    if scheduler.startswith("FlowMatch"):
        raise ModelError(
            f"The base model “{source}” was trained by flow matching ({scheduler}), "
            f"which cannot be sampled here. {_NEEDED}"
        )


def _schedule(names: Mapping[str, object], metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read from a file's markers what changes in SDXL's scheduler configuration."""
    if "edm_vpred.sigma_max" in names:
        return dict(_COSXL)
    found: dict[str, Any] = {}
    if "v_pred" in names or metadata.get("modelspec.prediction_type") == "v":
        found |= _V_PREDICTION
    if "ztsnr" in names:
        found |= _ZERO_SNR
    return found


def _variant(folder: Path) -> str | None:
    variant = None
    for part in _MODEL_PARTS:
        files = [path for pattern in _WEIGHTS for path in sorted((folder / part).glob(pattern))]
        for path in files:
            check_readable(path, "base model")
        if files and all(_variant_of(path) for path in files):
            variant = variant or _variant_of(files[0])
    return variant


def _variant_of(path: Path) -> str | None:
    """``diffusion_pytorch_model.fp16-00001-of-2.safetensors`` and ``model.fp16.safetensors`` are of ``fp16``."""
    return next((one for one in _VARIANTS for dotted in path.name.split(".")[1:-1] if dotted.startswith(one)), None)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is damaged: it holds no settings by name.")
    return content
