"""Linear layers with weights kept as int8 and a scale for each row, by torchao. Called when a model is placed."""

from __future__ import annotations

import importlib.util
import warnings

import torch
from torch import nn

from photomaker_core.errors import ModelError


def has_torchao() -> bool:
    """True where the extra ``int8`` is installed."""
    return importlib.util.find_spec("torchao") is not None


def has_float8(device: torch.device) -> bool:
    """True where the device can hold float8 numbers; Apple's cannot."""
    return device.type != "mps"


def quantize_to_int8(module: nn.Module, device: torch.device) -> None:
    """Move ``module`` to ``device`` and keep the weights of its linear layers as int8.

    Those of LoRAs stay exact and switchable. Layers are rounded there one by one: a card does in a second what takes
    a CPU a minute, and never holds the whole module in its first precision.

    Raises :class:`ModelError` where torchao is not installed.
    """
    if not has_torchao():
        raise ModelError("The memory plan int8 needs torchao. Install it with: pip install 'photomaker-bot[int8]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(module, Int8WeightOnlyConfig(), filter_fn=is_quantized_to_int8, device=device)


def is_quantized_to_int8(module: nn.Module, name: str) -> bool:
    """True where a layer called ``name`` is a linear one of the model itself."""
    return isinstance(module, nn.Linear) and "lora_" not in name
