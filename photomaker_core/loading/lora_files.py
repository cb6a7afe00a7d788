"""LoRA files in the spellings and formats that trainers and interfaces write, as one that diffusers reads.

What only differs in names is renamed, what differs in form is converted
(:mod:`photomaker_core.loading.lora_formats`); what is something else is refused by what it is. Called by
:class:`~photomaker_core.loading.photomaker.PhotoMaker`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from photomaker_core.errors import ModelError
from photomaker_core.loading.lora_alphas import with_own_alpha
from photomaker_core.loading.lora_formats import MAGNITUDE, FormatError, LoraLayer, as_lora
from photomaker_core.loading.lora_targets import LoraTarget, LoraTargets
from photomaker_core.loading.weight_files import kind_of, read_weights

_BUNDLE: Final = "bundle_emb."
_BUNDLED_FOR: Final = ("clip_l", "clip_g")
_MOST_VECTORS: Final = 72
_COMPILED: Final = "_orig_mod."
"""What torch.compile puts into the names of the module that it wraps."""
_EXTRA: Final = (_BUNDLE, "__")
_FORMS: Final = frozenset(("a LoRA", "a LoHa (LyCORIS)", "a LoKr (LyCORIS)", "a DoRA"))
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
    (re.compile(r"\.lora_mid\.weight$"), "lora_mid.weight"),
    (re.compile(r"\.alpha$"), "alpha"),
    (re.compile(r"\.(?:dora_scale|lora_magnitude_vector)(?:\.default)?(?:\.weight)?$"), MAGNITUDE),
    (re.compile(r"\.(hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t[12]))$"), r"\1"),
)
_NATIVE: Final = ("unet.", "text_encoder.", "text_encoder_2.")
_NOT_NATIVE: Final = re.compile(
    r"\.alpha$|\.default\.|base_model\.|\.lora_(?:up|down|mid|magnitude_vector)\b|\.(?:dora_scale|hada_|lokr_)"
)
_DOWN: Final = (
    "lora_down.weight",
    "lora_A.weight",
    "lora.down.weight",
    "lora_linear_layer.down.weight",
    "_lora.down.weight",
)
_UP: Final = ("lora_up.weight", "lora_B.weight", "lora.up.weight", "lora_linear_layer.up.weight", "_lora.up.weight")
_BASES_BY_WIDTH: Final = {
    768: "Stable Diffusion 1.5",
    1024: "Stable Diffusion 2",
    1280: "the SDXL refiner",
    2048: "SDXL",
}
_TEXT_INPUT: Final = re.compile(r"attn2.*to_[kv].*(?:down\.|lora_A\.|hada_w1_b$)")


@dataclass(frozen=True, slots=True)
class LoraFile:
    """Weights that diffusers' SDXL loader reads, and how many layers they are for.

    ``gains`` [O] are what the rows of some modules grow by besides, by the modules' paths. ``words`` are textual
    inversions that came with them, by their names: [N, D] for each text encoder. ``notes`` say what they are, and what
    was left out.
    """

    weights: dict[str, Tensor]
    layers: int
    words: Mapping[str, tuple[Tensor, Tensor]]
    notes: tuple[str, ...] = ()
    gains: Mapping[str, Tensor] = field(default_factory=dict)


def read_lora(path: Path, name: str, text_widths: tuple[int, int], targets: LoraTargets) -> LoraFile:
    """Read a LoRA for text encoders of these widths and a UNet; its layers are for modules in ``targets``.

    Raises :class:`ModelError` with a sentence that calls the LoRA ``name`` where the file is missing, damaged,
    something else, or made for another architecture.
    """
    file = read_weights(path, "LoRA file")
    tensors = file.tensors
    weights = {key.replace(_COMPILED, ""): value for key, value in tensors.items() if not key.startswith(_EXTRA)}
    words, notes = _bundled_words(tensors, text_widths)
    _check_kind(weights, name, sum(text_widths))
    whole = next((value.dtype for value in weights.values() if value.ndim > 1 and not value.is_floating_point()), None)
    if whole is not None:
        raise ModelError(
            f"The LoRA “{name}” holds weights of the type {str(whole).removeprefix('torch.')}, which is quantised for "
            "another program or damaged. Use one in float16, bfloat16 or float32."
        )
    broken = [key for key, value in weights.items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise ModelError(
            f"The LoRA “{name}” is broken: {len(broken)} of its {len(weights)} tensors hold values that are no numbers "
            "(NaN or infinity), so that every picture would be black. Its training has failed; use another version."
        )
    empty = [key for key, value in weights.items() if not value.numel()]
    if empty:
        raise ModelError(f"The LoRA “{name}” is broken: its tensor {empty[0]} is empty.")
    weights = _in_one_spelling(with_own_alpha(weights, path, file.metadata), name)
    layers = _by_layer(weights)
    if not layers:
        _check_pairs(weights, name)
        return LoraFile(weights, layer_count(weights), words, notes)
    converted, gains = _converted(layers, name, targets)
    return LoraFile(converted, len(layers), words, notes, gains)


def _bundled_words(
    tensors: Mapping[str, Tensor], widths: tuple[int, int]
) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[str, ...]]:
    """The embeddings that a file has beside its layers, ``bundle_emb.NAME.clip_l`` and ``.clip_g``; and what to say."""
    found: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        if key.startswith(_BUNDLE):
            word, _, encoder = key.removeprefix(_BUNDLE).rpartition(".")
            found[word][encoder] = value
    words, notes = {}, []
    for word, parts in sorted(found.items()):
        vectors = [parts.get(encoder) for encoder in _BUNDLED_FOR]
        wrong = _what_is_wrong(word, vectors, widths)
        if wrong or vectors[0] is None or vectors[1] is None:
            notes.append(f"its bundled embedding “{word}” is left out: {wrong}")
            continue
        words[word] = (vectors[0].float(), vectors[1].float())
        notes.append(f"“{word}” in a prompt is its bundled embedding, {len(vectors[0])} tokens long")
    return words, tuple(notes)


def _what_is_wrong(word: str, vectors: Sequence[Tensor | None], widths: tuple[int, int]) -> str:
    if not re.search(r"\w", word):
        return "it has no name that could be typed"
    if any(one is None for one in vectors):
        return "it lacks the vectors for one of SDXL's text encoders"
    given = [list(one.shape) for one in vectors if one is not None]
    if any(len(shape) != 2 or shape[1] != width for shape, width in zip(given, widths, strict=True)):
        return f"its vectors are {given[0]} and {given[1]}, not {widths[0]} and {widths[1]} wide"
    if given[0][0] != given[1][0] or not 1 <= given[0][0] <= _MOST_VECTORS:
        return f"it has {given[0][0]} and {given[1][0]} vectors; both must have as many, 1 to {_MOST_VECTORS}"
    if not all(torch.isfinite(one.float()).all() for one in vectors if one is not None):
        return "it holds values that are no numbers"
    return ""


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


def _in_one_spelling(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Rename to kohya's names unless every name is diffusers' own already."""
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


def _by_layer(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each layer by their role, under kohya's names; diffusers' own names are one layer each."""
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in weights.items():
        module, _, role = key.partition(".")
        if key.startswith("lora_"):
            layers[module][role] = value
    return layers


def _check_pairs(weights: Mapping[str, Tensor], name: str) -> None:
    """Raise :class:`ModelError` where one of a layer's two factors is missing, which would stay a random one."""
    other = {down: up for one, two in zip(_DOWN, _UP, strict=True) for down, up in ((one, two), (two, one))}
    for key in weights:
        ending = next((one for one in other if key.endswith(one)), None)
        needed = key if ending is None else key.removesuffix(ending) + other[ending]
        if needed not in weights:
            raise ModelError(f"The LoRA “{name}” is damaged: it has {key} and no {needed}.")


def _converted(
    layers: Mapping[str, Mapping[str, Tensor]], name: str, targets: LoraTargets
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Every layer that has a place, under diffusers' own names, with its alpha in its weights; and the gains."""
    found: dict[LoraTarget, LoraLayer] = {}
    for module, parts in layers.items():
        target = targets.find(module)
        if target is None:
            continue
        try:
            found[target] = as_lora(parts, target.weight)
        except FormatError as error:
            raise ModelError(
                f"The LoRA “{name}” has a layer of an unknown form, {module} with {error}; it is damaged, or was made "
                "for another architecture or by a method that is not known here."
            ) from error
    converted: dict[str, Tensor] = {}
    for target, layer in found.items():
        kernel = [1] * (target.weight.ndim - 2)
        is_flat = layer.down[0].numel() == target.weight[0].numel()
        shape = target.weight.shape[1:] if is_flat else layer.down.shape[1:]
        converted[f"{target.path}.lora_A.weight"] = layer.down.reshape(len(layer.down), *shape)
        converted[f"{target.path}.lora_B.weight"] = layer.up.reshape(*layer.up.shape, *kernel)
    return converted, {target.path: layer.gain for target, layer in found.items() if layer.gain is not None}


def _kohya_name(key: str) -> str | None:
    plain = _WRAPPERS.sub("", key)
    for role, template in _ROLES:
        found = role.search(plain)
        if found is None:
            continue
        module, spelt = plain[: found.start()], found.expand(template)
        for prefix, part in _PARTS:
            if prefix.match(module):
                rest = prefix.sub("", module, count=1).replace(".processor.", ".").replace(".", "_")
                rest = re.sub(r"_to_([qkv])_lora$", r"_to_\1", re.sub(r"_to_out_lora$", "_to_out_0", rest))
                return f"lora_{part}_{rest}.{spelt}"
    return None


def layer_count(weights: Iterable[str]) -> int:
    """Count the layers that a LoRA with these names has, in any spelling that diffusers reads."""
    return sum(key.endswith(_DOWN) for key in weights)
