"""A style LoRA of random weights, in kohya's format, that changes the tiny base's text encoders and its UNet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from photomaker_core.loading.base_model import load_base
from tests.support.tiny_model import CPU, TINY_BASE

_RANK: Final = 2
_STRENGTH: Final = 0.3


def write_text_lora(path: Path, seed: int = 0) -> Path:
    """Write LoRA layers for every attention projection of both text encoders and of the UNet."""
    base, generator = load_base(str(TINY_BASE), CPU), torch.Generator().manual_seed(seed)
    first, second = base.text.encoders
    weights: dict[str, Tensor] = {}
    for prefix, network in (("lora_te1_text_model", first), ("lora_te2_text_model", second), ("lora_unet", base.unet)):
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Linear) and "attn" in name:
                key = "_".join([prefix, *name.removeprefix("text_model.").split(".")])
                weights[f"{key}.lora_down.weight"] = torch.randn(_RANK, layer.in_features, generator=generator)
                up = torch.randn(layer.out_features, _RANK, generator=generator)
                weights[f"{key}.lora_up.weight"] = up * _STRENGTH / layer.in_features**0.5
                weights[f"{key}.alpha"] = torch.tensor(float(_RANK))
    save_file(weights, path)
    return path
