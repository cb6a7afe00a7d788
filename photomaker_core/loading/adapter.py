"""PhotoMaker adapter files: reading and writing ``.bin`` and ``.safetensors``.

The version (V1 or V2) and every width are told by the keys and shapes; nobody has to say them.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from photomaker_core.errors import ModelError
from photomaker_core.models.id_encoder import IdEncoder, id_encoder_from_weights, id_encoder_weights

_PARTS: Final = ("id_encoder", "lora_weights")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A loaded PhotoMaker adapter.

    ``fingerprint`` changes with the ID encoder's weights: ID features are stored under it.
    """

    id_encoder: IdEncoder
    lora_weights: dict[str, Tensor]
    fingerprint: str


def load_adapter(path: Path) -> Adapter:
    """Read an adapter file; raises :class:`ModelError` when it is missing or is something else."""
    if not path.is_file():
        raise ModelError(f"There is no PhotoMaker adapter at {path}.")
    try:
        parts, heads = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ModelError(f"{path} cannot be read as a PhotoMaker adapter: {error}") from error
    encoder_weights = parts["id_encoder"]
    if "fuse_module.layer_norm.weight" not in encoder_weights:
        raise ModelError(
            f"{path} is no PhotoMaker adapter: it has no ID encoder. "
            "Expected photomaker-v1.bin, photomaker-v2.bin or a file of the same form."
        )
    try:
        encoder = id_encoder_from_weights(encoder_weights, heads)
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"The ID encoder in {path} is incomplete or of an unknown form: {error}") from error
    return Adapter(encoder, dict(parts["lora_weights"]), _fingerprint(encoder_weights))


def save_adapter(adapter_path: Path, encoder: IdEncoder, lora_weights: Mapping[str, Tensor]) -> None:
    """Write ``.safetensors`` with the reference's keys, in half precision."""
    tensors = {f"id_encoder.{name}": value for name, value in id_encoder_weights(encoder).items()}
    tensors |= {f"lora_weights.{name}": value for name, value in lora_weights.items()}
    halved = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in tensors.items()
        if value.is_floating_point()
    }
    heads = encoder.vision_model.config.num_attention_heads
    save_file(halved, adapter_path, metadata={"vision_heads": json.dumps(heads)})


def _read_safetensors(path: Path) -> tuple[dict[str, dict[str, Tensor]], int | None]:
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    with safe_open(path, framework="pt") as file:
        heads = (file.metadata() or {}).get("vision_heads")
        for key in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
            part, _, name = key.partition(".")
            if part in parts:
                parts[part][name] = file.get_tensor(key).float()
    return parts, int(heads) if heads else None


def _read_torch(path: Path) -> tuple[dict[str, dict[str, Tensor]], int | None]:
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ModelError(f"{path} is no PhotoMaker adapter: it holds a {type(content).__name__}, not weights.")
    found = {part: content.get(part) for part in _PARTS}
    parts = {part: value if isinstance(value, dict) else {} for part, value in found.items()}
    return {part: {name: tensor.float() for name, tensor in value.items()} for part, value in parts.items()}, None


def _fingerprint(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
