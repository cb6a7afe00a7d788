"""The alphas of LoRA files that do not hold them as tensors: diffusers writes them into the file's metadata, peft into
a file beside it. Called by the reader of LoRA files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor

_METADATA: Final = "lora_adapter_metadata"
_PEFT_FILES: Final = ("adapter_model.safetensors", "adapter_model.bin")
_PEFT_CONFIG: Final = "adapter_config.json"
_PARTS: Final = ("text_encoder_2.", "text_encoder.", "unet.")
_DOWN: Final = re.compile(r"\.lora_A(?P<adapter>\.default)?\.weight$")
_WRAPPER: Final = re.compile(r"^(?:base_model\.model\.)+")


def with_own_alpha(weights: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights of a file at ``path``, each layer scaled by its alpha over its rank, as far as that is written down.

    Alphas that are tensors of the file are left to its reader.
    """
    configs = _configs(path, metadata)
    scaled = dict(weights)
    for key in weights:
        found = _DOWN.search(key)
        if found is None:
            continue
        module = _WRAPPER.sub("", key[: found.start()])
        up = f"{key[: found.start()]}.lora_B{found['adapter'] or ''}.weight"
        part = next((one for one in configs if module.startswith(one)), None)
        if part is None or up not in weights:
            continue
        scaled[up] = weights[up] * _scale(configs[part], module.removeprefix(part), len(weights[key]))
    return scaled


def _configs(path: Path, metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What is written about the layers whose names begin so."""
    written = _json(metadata.get(_METADATA, ""))
    if written:
        parts = {part: {k.removeprefix(part): v for k, v in written.items() if k.startswith(part)} for part in _PARTS}
        return {part: config for part, config in parts.items() if config}
    beside = path.with_name(_PEFT_CONFIG)
    if path.name not in _PEFT_FILES or not beside.is_file():
        return {}
    return {"": _json(beside.read_text("utf-8", "replace"))}


def _json(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """As peft scales a layer (``peft/tuners/lora/layer.py``); 1 where nothing sensible is written."""
    alpha = config.get("lora_alpha")
    pattern = config.get("alpha_pattern")
    for name, value in pattern.items() if isinstance(pattern, dict) else ():
        if module == name or module.endswith(f".{name}"):
            alpha = value
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        return 1.0
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
