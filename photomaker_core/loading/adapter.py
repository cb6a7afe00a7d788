"""PhotoMaker adapter files: reading and writing ``.bin`` and ``.safetensors``.

The version (V1 or V2) and every width are told by the keys and shapes; nobody has to say them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from photomaker_core.errors import ModelError
from photomaker_core.loading.weight_files import kind_of, read_weights
from photomaker_core.models.id_encoder import IdEncoder, id_encoder_from_weights, id_encoder_weights

log = logging.getLogger(__name__)

_WHAT: Final = "PhotoMaker adapter"
_WRAPPER: Final = "module."
_PARTS: Final = ("id_encoder", "lora_weights")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A loaded PhotoMaker adapter.

    ``fingerprint`` changes with the ID encoder's weights: ID features are stored under it. ``notes`` say what an
    operator should know about the file.
    """

    id_encoder: IdEncoder
    lora_weights: dict[str, Tensor]
    fingerprint: str
    notes: tuple[str, ...] = ()


def load_adapter(path: str | Path) -> Adapter:
    """Read an adapter file of either form, by its content; raises :class:`ModelError` when it is something else.

    A file without a LoRA loads with a note: then the base draws without what PhotoMaker's training added to it.
    """
    path = Path(path).expanduser()
    weights = read_weights(path, _WHAT)
    heads = weights.metadata.get("vision_heads")
    parts = _parts(weights.tensors)
    encoder_weights = parts["id_encoder"]
    if "fuse_module.layer_norm.weight" not in encoder_weights:
        kind = kind_of(weights.tensors)
        says = "it has no ID encoder" if kind in (None, "a PhotoMaker adapter") else f"it is {kind}"
        raise ModelError(
            f"{path} is no PhotoMaker adapter: {says}. "
            "Expected photomaker-v1.bin, photomaker-v2.bin or a file of the same form."
        )
    _check_finite(path, weights.tensors)
    try:
        encoder = id_encoder_from_weights(encoder_weights, int(heads) if heads else None)
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"The ID encoder in {path} is incomplete or of an unknown form: {error}") from error
    notes: tuple[str, ...] = ()
    if not parts["lora_weights"]:
        notes = (f"the adapter {path.name} holds no LoRA: likeness is weaker than PhotoMaker's",)
        log.warning("%s", notes[0])
    return Adapter(encoder, parts["lora_weights"], _fingerprint(encoder_weights), notes)


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


def _parts(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The ID encoder's and the LoRA's tensors in float32; names without a part's prefix are the ID encoder's."""
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    has_prefix = any(name.removeprefix(_WRAPPER).startswith("id_encoder.") for name in tensors)
    for key, tensor in tensors.items():
        part, _, name = key.removeprefix(_WRAPPER).partition(".")
        if part not in parts and not has_prefix:
            part, name = "id_encoder", key.removeprefix(_WRAPPER)
        # Older transformers stored these positions, which are 0, 1, 2, ...
        if part in parts and not name.endswith("position_ids"):
            parts[part][name] = tensor.float()
    return parts


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor.float()).all()]
    if broken:
        raise ModelError(
            f"The adapter {path} is broken: {len(broken)} of its {len(tensors)} tensors, such as {broken[0]}, "
            "hold values that are no numbers (NaN or infinity)."
        )


def _fingerprint(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
