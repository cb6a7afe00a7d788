"""Reads files of weights by their content, whatever they are called, and says what a file is that holds something else.

Called by the loaders of bases, adapters and LoRAs.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from photomaker_core.errors import ModelError

_HEAD_BYTES: Final = 512
_UNREADABLE: Final = (
    (b"version https://git-lfs", "is a Git LFS pointer and not the weights. Fetch the file itself (git lfs pull)"),
    (b"gguf", "is a GGUF file, which is for other programs. Use the .safetensors file of the same model"),
    (b"rar!", "is an archive. Unpack it first"),
    (b"7z\xbc\xaf", "is an archive. Unpack it first"),
    (b"\x1f\x8b", "is an archive. Unpack it first"),
    (b"<", "is a web page and not the weights. Download the file again, logged in where its page asks for it"),
    (b"{", "is a text (JSON) and not the weights. Download the file again, logged in where its page asks for it"),
)
_ZIP: Final = b"PK\x03\x04"
_PICKLES: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_KINDS: Final = tuple(
    (re.compile(marks), kind)
    for marks, kind in (
        (r"(?:module\.)?(?:id_encoder|qformer_perceiver|fuse_module)\.", "a PhotoMaker adapter"),
        (r"image_proj\.|ip_adapter\.", "an IP-Adapter"),
        (r".*(?:double_blocks|single_transformer_blocks|single_blocks)", "made for Flux"),
        (
            r".*joint_blocks|lora_transformer_|transformer\.",
            "made for a diffusion transformer such as Stable Diffusion 3",
        ),
        (r".*\.hada_w", "a LoHa (LyCORIS)"),
        (r".*\.lokr_w", "a LoKr (LyCORIS)"),
        (r".*\.(?:dora_scale|lora_magnitude_vector)", "a DoRA"),
        (r".*\.oft_|.*oft_(?:blocks|diag)", "an OFT adapter"),
        (r".*\.on_input$", "an (IA)³ adapter"),
        (r".*\.[ab]1\.weight$", "a GLoRA"),
        (r".*\.diff(?:_b)?$", "a file of full weight differences"),
        (r"lora_|.*[._]lora[._](?:A|B|up|down|linear_layer)", "a LoRA"),
        (r"control_model\.|.*(?:controlnet_|input_hint_block|zero_convs)", "a ControlNet"),
        (r"emb_params$|string_to_param", "a textual inversion embedding"),
        (r"conditioner\.embedders\.1\.", "a whole SDXL model"),
        (r"conditioner\.embedders\.0\.model\.", "the SDXL refiner"),
        (r"cond_stage_model\.model\.", "a whole Stable Diffusion 2 model"),
        (r"cond_stage_model\.", "a whole Stable Diffusion 1.5 model"),
        (r"(?:model\.)?diffusion_model\.|input_blocks\.0\.0\.|down_blocks\.\d+\.attentions", "a UNet alone"),
        (r"first_stage_model\.|decoder\.(?:up|mid|conv)|quant_conv\.", "a VAE"),
        (r"text_model\.|transformer\.resblocks\.", "a text encoder"),
    )
)
_ADDED_EMBEDDINGS: Final = frozenset(("clip_l", "clip_g"))


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors by name, with nested torch files flattened by dots, and the file's own metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def is_safetensors(path: Path) -> bool:
    """Tell whether the file's content is in the safetensors format."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return _looks_like_safetensors(head)


def tensor_shapes(path: Path, what: str) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes by name, and the file's metadata; raises as :func:`read_weights`, and reads no more than it must."""
    if check_readable(path, what):
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            return shapes, dict(file.metadata() or {})
    return {name: tuple(tensor.shape) for name, tensor in _read_torch(path, what).items()}, {}


def read_weights(path: Path, what: str) -> Weights:
    """Read a safetensors or torch file on the CPU; code inside a torch file is never run.

    Raises :class:`ModelError` for a file that is missing or holds no weights; ``what`` says what it should be.
    """
    if not check_readable(path, what):
        return Weights(_read_torch(path, what), {})
    with safe_open(path, framework="pt") as file:
        return Weights({name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {}))  # noqa: SIM118


def check_readable(path: Path, what: str) -> bool:
    """Raise :class:`ModelError` for what can be no weights; returns whether it is safetensors, else torch's format."""
    if not path.is_file():
        raise ModelError(f"There is no {what} at {path}.")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    if _looks_like_safetensors(head):
        _check_whole(path, what)
        return True
    if head.startswith((_ZIP, *_PICKLES)):
        return False
    stripped = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, is_this in ((b"\0", "holds nothing but zeros"),) if not stripped.strip(b"\0") else _UNREADABLE:
        if stripped.startswith(beginning):
            raise ModelError(f"{path} cannot be read as a {what}: it {is_this}.")
    says = "it is empty (0 bytes)" if not head else "it is neither a safetensors nor a torch file, or it is damaged"
    raise ModelError(f"{path} cannot be read as a {what}: {says}. Download it again.")


def kind_of(names: Iterable[str]) -> str | None:
    """Name what a file with these tensors in it is: "a VAE", "made for Flux"; ``None`` where nothing is known."""
    known = list(names)
    if known and _ADDED_EMBEDDINGS.issuperset(known):
        return "a textual inversion embedding"
    return next((kind for marks, kind in _KINDS if any(marks.match(name) for name in known)), None)


def _looks_like_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**32


def _check_whole(path: Path, what: str) -> None:
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        reason = str(error).replace("Error while deserializing header: ", "")
        raise ModelError(
            f"{path} cannot be read as a {what}: the file is cut off or damaged ({reason}). Download it again."
        ) from error


def _read_torch(path: Path, what: str) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:  # by its path, torch would go by its name
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read as a {what}: it is a Python pickle that is damaged or holds more than weights, "
            "and code in it is never run. Use a .safetensors file."
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ModelError(f"{path} is no {what}: it holds a {type(content).__name__}, not weights.")
    found = _flat(content)
    odd = next((one for one in found.values() if one.is_meta or one.is_quantized or one.layout != torch.strided), None)
    if odd is not None:
        raise ModelError(
            f"{path} cannot be read as a {what}: its tensors are quantised, sparse or without values. "
            "Use a file with plain weights in float16, bfloat16 or float32."
        )
    return found


def _flat(content: Mapping[Any, Any], prefix: str = "") -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in content.items():
        if isinstance(value, Tensor):
            found[f"{prefix}{name}"] = value
        elif isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
    return found
