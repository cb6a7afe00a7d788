"""Loading an SDXL base model: a hub id, a diffusers folder, or a single file."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError

from photomaker_core.errors import ModelError
from photomaker_core.loading.base_files import (
    MODEL_FILE_SUFFIXES,
    check_channels,
    check_schedule,
    examine_file,
    examine_folder,
    not_sdxl,
)
from photomaker_core.loading.weight_files import is_safetensors
from photomaker_core.models.text_encoders import TextEmbeddingCache, TextEncoders

log = logging.getLogger(__name__)

_LOADING_ERRORS: Final = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
    SingleFileComponentError,
)
_TEXT_CACHE_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Hardware:
    """The device that the model runs on, and its precision."""

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

    def __init__(self, pipeline: StableDiffusionXLPipeline, hardware: Hardware, notes: tuple[str, ...] = ()) -> None:
        self.pipeline = pipeline
        self.hardware = hardware
        self.notes = notes
        self.unet: UNet2DConditionModel = pipeline.unet
        self.vae: AutoencoderKL = pipeline.vae
        self.text = TextEncoders.of(pipeline, TextEmbeddingCache(_TEXT_CACHE_BYTES))

    @property
    def side_px(self) -> int:
        """The side of the square pictures that the base was trained at."""
        return int(self.unet.config.sample_size) * self.vae_scale

    @property
    def vae_scale(self) -> int:
        """The pixels that one latent stands for along each side (f)."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def zeros_for_empty_negative(self) -> bool:
        return bool(self.pipeline.config.force_zeros_for_empty_prompt)


def load_base(source: str | Path, hardware: Hardware, config: Path | None = None) -> BaseModel:
    """Load a base model from a folder, a single file or the hub.

    A single file (safetensors or torch, whatever its name) holds weights only. Its configuration and tokenizers are
    SDXL's, from the hub, or those of ``config``: a diffusers folder, whose weights are used for the VAE alone and only
    where the file has none. Raises :class:`ModelError` with a sentence for the operator when the base is missing,
    incomplete or nothing that SDXL's pipeline can draw with.
    """
    path = Path(source).expanduser()
    notes: list[str] = []
    try:
        if path.is_file():
            pipeline = _load_file(path, hardware, None if config is None else config.expanduser(), notes)
        elif path.is_dir():
            variant = examine_folder(path)
            pipeline = StableDiffusionXLPipeline.from_pretrained(
                str(path), dtype=hardware.dtype, variant=variant, add_watermarker=False
            )
        elif path.suffix.lower() in MODEL_FILE_SUFFIXES:
            raise ModelError(f"There is no model file at {path}.")
        elif path.is_absolute() or len(path.parts) != 2 or str(source).startswith("."):
            raise ModelError(f"There is no model folder at {path}.")
        else:
            pipeline = _load_from_hub(str(source), hardware)
        pipeline.to(hardware.device)
    except NotImplementedError as error:
        # torch's answer to a parameter that no weight was found for.
        raise ModelError(f"The base model “{source}” lacks some of SDXL's weights; the file is incomplete.") from error
    except _LOADING_ERRORS as error:
        if not path.exists() and isinstance(error, OSError):
            raise ModelError(
                f"The base model “{source}” is neither a folder or file here nor to be had from the Hugging Face hub. "
                f"({_first_line(error)})"
            ) from error
        raise ModelError(f"The base model “{source}” cannot be loaded: {_first_line(error)}") from error
    _check_pipeline(source, pipeline)
    pipeline.set_progress_bar_config(disable=True)
    for module in (pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2):
        module.requires_grad_(False).eval()
    for note in notes:
        log.warning("base model: %s", note)
    return BaseModel(pipeline, hardware, tuple(notes))


def _load_file(path: Path, hardware: Hardware, config: Path | None, notes: list[str]) -> StableDiffusionXLPipeline:
    found = examine_file(path)
    parts: dict[str, Any] = {}
    if not found.has_vae:
        if config is None or not any((config / "vae").glob("*.safetensors")):
            raise ModelError(
                f"The base model “{path}” holds no VAE. Use a file with the VAE in it, or name a diffusers folder with "
                "SDXL's VAE as base_config."
            )
        parts["vae"] = AutoencoderKL.from_pretrained(config / "vae", torch_dtype=hardware.dtype)
        notes.append(f"{path.name} holds no VAE; that of {config} is used")
    with _named_by_content(path) as named:
        pipeline = StableDiffusionXLPipeline.from_single_file(
            str(named),
            config=None if config is None else str(config),
            torch_dtype=hardware.dtype,
            add_watermarker=False,
            **parts,
        )
    if found.scheduler:
        kind = EDMEulerScheduler if "EDM" in found.scheduler.get("_class_name", "") else EulerDiscreteScheduler
        changes = {name: value for name, value in found.scheduler.items() if name != "_class_name"}
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **changes)
        notes.append(f"{path.name} says how it was trained: {', '.join(f'{k}={v}' for k, v in changes.items())}")
    return pipeline


@contextlib.contextmanager
def _named_by_content(path: Path) -> Iterator[Path]:
    """The file under a name whose ending tells its format, by which diffusers goes."""
    ending = ".safetensors" if is_safetensors(path) else ".ckpt"
    if path.suffix == ending:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, f"model{ending}")
        link.symlink_to(path.resolve())
        yield link


def _load_from_hub(source: str, hardware: Hardware) -> StableDiffusionXLPipeline:
    options: dict[str, Any] = {"dtype": hardware.dtype, "add_watermarker": False}
    try:
        return StableDiffusionXLPipeline.from_pretrained(source, **options)
    except OSError as error:
        if "no file named" not in str(error):
            raise
        return StableDiffusionXLPipeline.from_pretrained(source, variant="fp16", **options)


def _check_pipeline(source: str | Path, pipeline: StableDiffusionXLPipeline) -> None:
    if getattr(pipeline, "text_encoder", None) is None:
        raise not_sdxl(source, "the SDXL refiner")
    if getattr(pipeline, "text_encoder_2", None) is None or pipeline.unet.config.addition_embed_type != "text_time":
        raise not_sdxl(source, "a model with other text encoders")
    check_channels(source, int(pipeline.unet.config.in_channels))
    check_schedule(source, type(pipeline.scheduler).__name__)
    for tokenizer, encoder in (
        (pipeline.tokenizer, pipeline.text_encoder),
        (pipeline.tokenizer_2, pipeline.text_encoder_2),
    ):
        # Without the entry in its configuration a tokenizer cuts at 1e30 tokens.
        tokenizer.model_max_length = min(tokenizer.model_max_length, int(encoder.config.max_position_embeddings))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
