"""Loading an SDXL base model: a hub id, a diffusers folder, or a single .safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError, safe_open

from photomaker_core.errors import ModelError
from photomaker_core.models.text_encoders import TextEmbeddingCache, TextEncoders

_TEXT_CACHE_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where the model runs and in which precision."""

    device: torch.device
    dtype: torch.dtype


def best_hardware() -> Hardware:
    """CUDA in half precision (bfloat16 where the card computes it), else Apple's GPU, else fp32 on CPU."""
    if torch.cuda.is_available():
        dtype = torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
        return Hardware(torch.device("cuda"), dtype)
    if torch.backends.mps.is_available():
        return Hardware(torch.device("mps"), torch.float16)
    return Hardware(torch.device("cpu"), torch.float32)


class BaseModel:
    """The parts of an SDXL pipeline. The pipeline itself is kept for its LoRA loading and offloading only."""

    def __init__(self, pipeline: StableDiffusionXLPipeline, hardware: Hardware) -> None:
        self.pipeline = pipeline
        self.hardware = hardware
        self.unet: UNet2DConditionModel = pipeline.unet
        self.vae: AutoencoderKL = pipeline.vae
        self.text = TextEncoders.of(pipeline, TextEmbeddingCache(_TEXT_CACHE_BYTES))

    @property
    def side_px(self) -> int:
        """The side of the square pictures that the base was trained at."""
        return int(self.unet.config.sample_size) * self.vae_scale

    @property
    def vae_scale(self) -> int:
        """How many pixels one latent stands for along each side (f)."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def zeros_for_empty_negative(self) -> bool:
        return bool(self.pipeline.config.force_zeros_for_empty_prompt)


def load_base(source: str, hardware: Hardware, config: Path | None = None) -> BaseModel:
    """Load a base model from a folder, a single file or the hub.

    A single file holds weights only. Its configuration and tokenizers are SDXL's, from the hub, or those of
    ``config``: a diffusers folder, in which weights may be missing. Raises :class:`ModelError` with a
    sentence for the operator when the base is missing, incomplete or not SDXL.
    """
    path = Path(source)
    try:
        if path.suffix == ".safetensors":
            _check_file(path)
            pipeline = StableDiffusionXLPipeline.from_single_file(
                source, config=None if config is None else str(config), torch_dtype=hardware.dtype
            )
        else:
            if path.is_dir():
                _check_folder(path)
            elif path.is_absolute() or source.startswith("."):
                raise ModelError(f"There is no model folder at {path}.")
            pipeline = StableDiffusionXLPipeline.from_pretrained(source, dtype=hardware.dtype)
        pipeline.to(hardware.device)
    except NotImplementedError as error:
        # torch's answer to a parameter that no weight was found for.
        raise ModelError(f"The base model “{source}” lacks some of SDXL's weights; the file is incomplete.") from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, SingleFileComponentError) as error:
        if not path.exists() and isinstance(error, OSError):
            raise ModelError(
                f"The base model “{source}” is neither a folder or file here nor to be had from the Hugging Face hub. "
                f"({error})"
            ) from error
        raise ModelError(f"The base model “{source}” cannot be loaded: {error}") from error
    if getattr(pipeline, "text_encoder_2", None) is None or pipeline.unet.config.addition_embed_type != "text_time":
        raise ModelError(_NOT_SDXL.format(source=source))
    pipeline.set_progress_bar_config(disable=True)
    for module in (pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2):
        module.requires_grad_(False).eval()
    return BaseModel(pipeline, hardware)


_NOT_SDXL = (
    "The base model “{source}” is no SDXL model (PhotoMaker needs SDXL's two text encoders; "
    "Stable Diffusion 1.5 and 2.x cannot work). Use an SDXL base such as stabilityai/stable-diffusion-xl-base-1.0."
)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"There is no model file at {path}.")
    with safe_open(path, framework="pt") as file:
        if not any(name.startswith("conditioner.embedders.1.") for name in file.keys()):  # noqa: SIM118 - no mapping
            raise ModelError(_NOT_SDXL.format(source=path))


def _check_folder(folder: Path) -> None:
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(f"{folder} is no diffusers model folder: it has no model_index.json.")
    try:
        parts = json.loads(index.read_text())
    except json.JSONDecodeError as error:
        raise ModelError(f"{index} is damaged: {error}") from error
    if "text_encoder_2" not in parts:
        raise ModelError(_NOT_SDXL.format(source=folder))
