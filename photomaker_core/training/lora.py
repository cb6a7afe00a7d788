"""Functions of the stages that train a LoRA: add it to layers, and write it in the form that diffusers loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor

LORA_FILE: Final = "pytorch_lora_weights.safetensors"
ATTENTION_PROJECTIONS: Final = ("to_q", "to_k", "to_v", "to_out.0")


def add_lora(unet: UNet2DConditionModel, name: str, rank: int, layers: Sequence[str] = ATTENTION_PROJECTIONS) -> None:
    """Add a LoRA called ``name`` to the UNet's ``layers``, with scale 1; it changes nothing until it is trained."""
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(layers))
    unet.add_adapter(config, adapter_name=name)


def lora_weights(unet: UNet2DConditionModel, name: str) -> dict[str, Tensor]:
    """The weights of the LoRA called ``name``, by diffusers' names."""
    weights: dict[str, Tensor] = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet, adapter_name=name))
    return weights


def save_lora(unet: UNet2DConditionModel, name: str, folder: Path) -> None:
    """Write the LoRA called ``name`` as ``LORA_FILE`` into ``folder``."""
    layers = lora_weights(unet, name)
    StableDiffusionXLPipeline.save_lora_weights(folder, unet_lora_layers=layers, safe_serialization=True)
