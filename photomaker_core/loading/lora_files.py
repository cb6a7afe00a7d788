"""LoRA files in the spellings that trainers and interfaces write, as one that diffusers reads.

What only differs in names is renamed; what is something else is refused by what it is. Called by
:class:`~photomaker_core.loading.photomaker.PhotoMaker`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from photomaker_core.errors import ModelError
from photomaker_core.loading.weight_files import kind_of, read_weights

_EXTRA: Final = ("bundle_emb.", "__")
_FORMS: Final = frozenset(("a LoRA", "made for Flux", "made for a diffusion transformer such as Stable Diffusion 3"))
_WRAPPERS: Final = re.compile(r"^(?:module\.|base_model\.model\.|model\.(?=diffusion_model\.))+")
_PARTS: Final = (
    (re.compile(r"^(?:lora_unet_|lora_unet\.|unet\.base_model\.model\.|unet\.|diffusion_model\.)"), "unet"),
    (re.compile(r"^(?=(?:down_blocks|mid_block|up_blocks|input_blocks|middle_block|output_blocks)[._])"), "unet"),
    (re.compile(r"^(?:lora_te2_|text_encoder_2\.|(?:text_encoders\.)?clip_g\.(?:transformer\.)?)"), "te2"),
    (
        re.compile(r"^(?:lora_te1?_|text_encoder\.|(?:text_encoders\.)?clip_l\.(?:transformer\.)?)"),
        "te1",
    ),
)
_ROLES: Final = (
    (re.compile(r"\.(?:lora_down|lora_A|lora\.down|(?<=_lora\.)down)(?:\.default)?\.weight$"), "lora_down.weight"),
    (re.compile(r"\.(?:lora_up|lora_B|lora\.up|(?<=_lora\.)up)(?:\.default)?\.weight$"), "lora_up.weight"),
    (re.compile(r"\.alpha$"), "alpha"),
)
_NATIVE: Final = ("unet.", "text_encoder.", "text_encoder_2.")
_NOT_NATIVE: Final = re.compile(r"\.alpha$|\.default\.|base_model\.|\.lora_(?:up|down)\.")
_DOWN: Final = (
    "lora_down.weight",
    "lora_A.weight",
    "lora.down.weight",
    "lora_linear_layer.down.weight",
    "_lora.down.weight",
)
_BASES_BY_WIDTH: Final = {
    768: "Stable Diffusion 1.5",
    1024: "Stable Diffusion 2",
    1280: "the SDXL refiner",
    2048: "SDXL",
}
_TEXT_INPUT: Final = re.compile(r"attn2.*to_[kv].*(?:down|lora_A)\.")


@dataclass(frozen=True, slots=True)
class LoraFile:
    """Weights that diffusers' SDXL loader reads, how many layers they are for, and what was left out."""

    weights: dict[str, Tensor]
    layers: int
    notes: tuple[str, ...] = ()


def read_lora(path: Path, name: str, text_width: int) -> LoraFile:
    """Read a LoRA for a UNet whose text embeddings are ``text_width`` wide.

    Raises :class:`ModelError` with a sentence that calls the LoRA ``name`` where the file is missing, damaged,
    something else, or made for another architecture.
    """
    tensors = read_weights(path, "LoRA file").tensors
    weights = {key: value for key, value in tensors.items() if not key.startswith(_EXTRA)}
    bundled = sorted({key.split(".")[1] for key in tensors if key.startswith("bundle_emb.")})
    notes = (f"its bundled embeddings ({', '.join(bundled)}) are not used",) if bundled else ()
    _check_kind(weights, name, text_width)
    broken = [key for key, value in weights.items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise ModelError(
            f"The LoRA “{name}” is broken: {len(broken)} of its {len(weights)} tensors hold values that are no numbers "
            "(NaN or infinity), so that every picture would be black. Its training has failed; use another version."
        )
    weights = _spelt_for_diffusers(weights, name)
    return LoraFile(weights, layer_count(weights), notes)


def _check_kind(weights: Mapping[str, Tensor], name: str, text_width: int) -> None:
    kind = kind_of(weights)
    if kind is None:
        raise ModelError(f"The LoRA “{name}” is no LoRA: none of its {len(weights)} tensors has a name that one has.")
    if kind.startswith("made for"):
        raise ModelError(f"The LoRA “{name}” was {kind}, which is another architecture; it does not fit SDXL.")
    if kind not in _FORMS:
        raise ModelError(
            f"The LoRA “{name}” is {kind}, which cannot be used as a LoRA here. "
            "Use one that was saved as an ordinary LoRA."
        )
    widths = {value.shape[1] for key, value in weights.items() if _TEXT_INPUT.search(key) and value.ndim > 1}
    for width in sorted(widths - {text_width}):
        made_for = _BASES_BY_WIDTH.get(width, "another base model")
        raise ModelError(
            f"The LoRA “{name}” was made for another architecture: {made_for} "
            f"(its text embeddings are {width} wide, this base model's are {text_width} wide)."
        )


def _spelt_for_diffusers(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Rename to kohya's names unless every name is diffusers' own already, which that loader cannot mix."""
    if all(key.startswith(_NATIVE) and not _NOT_NATIVE.search(key) for key in weights):
        return dict(weights)
    renamed: dict[str, Tensor] = {}
    unknown = []
    for key, value in weights.items():
        new = _kohya_name(key)
        if new is None:
            unknown.append(key)
        else:
            renamed[new] = value
    if unknown:
        raise ModelError(
            f"The LoRA “{name}” has {len(unknown)} tensors of an unknown form, such as {unknown[0]}; "
            "it was made for another architecture or by a method other than LoRA."
        )
    return renamed


def _kohya_name(key: str) -> str | None:
    plain = _WRAPPERS.sub("", key)
    for role, spelt in _ROLES:
        module, found = role.subn("", plain)
        if not found:
            continue
        for prefix, part in _PARTS:
            if prefix.match(module):
                rest = prefix.sub("", module, count=1).replace(".processor.", ".").replace(".", "_")
                rest = re.sub(r"_to_([qkv])_lora$", r"_to_\1", re.sub(r"_to_out_lora$", "_to_out_0", rest))
                return f"lora_{part}_{rest}.{spelt}"
    return None


def layer_count(weights: Iterable[str]) -> int:
    """Count the layers that a LoRA with these names has, in any spelling that diffusers reads."""
    return sum(key.endswith(_DOWN) for key in weights)
