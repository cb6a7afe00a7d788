"""The low-rank formats that trainers write beside LoRA, each as the two factors of a LoRA.

LoCon, LoHa and LoKr as LyCORIS defines them (Yeh et al. 2024, arXiv 2309.14859), DoRA as Liu et al. (2024, arXiv
2402.09353) do, with the norm along either side of the weight. All is exact: a format whose own rank is no lower than
the weight's becomes a LoRA of full rank. Called by the reader of LoRA files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

DOWN: Final = "lora_down.weight"
UP: Final = "lora_up.weight"
MID: Final = "lora_mid.weight"
ALPHA: Final = "alpha"
MAGNITUDE: Final = "dora_scale"
_LOHA: Final = frozenset(f"hada_{one}" for one in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2"))
_LOKR: Final = frozenset(f"lokr_{one}" for one in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2"))


class FormatError(Exception):
    """The tensors of a layer make no sense together; the text says which."""


@dataclass(frozen=True, slots=True)
class LoraLayer:
    """One layer's change of a weight [O, I] or [O, I, k, k]: ``up`` [O, R] times ``down`` [R, I] or [R, I, k, k].

    With a ``gain`` [O] the weight's own rows, times these numbers, are added as well (DoRA).
    """

    down: Tensor
    up: Tensor
    gain: Tensor | None = None

    @property
    def delta(self) -> Tensor:
        """The product of the two factors."""
        product: Tensor = self.up @ self.down.flatten(1)
        return product.view(len(self.up), *self.down.shape[1:])


def as_lora(parts: Mapping[str, Tensor], weight: Tensor) -> LoraLayer:
    """Convert one layer's tensors for the base's ``weight``; their names are those that LyCORIS writes.

    Raises :class:`FormatError` where they make no sense together.
    """
    tensors = {role: value.float() for role, value in parts.items()}
    try:
        layer = _factors(tensors)
        magnitude = tensors.get(MAGNITUDE)
        return layer if magnitude is None else _with_magnitude(layer, magnitude, weight)
    except (RuntimeError, IndexError, KeyError, ValueError) as error:
        raise FormatError(f"{', '.join(f'{role} {list(value.shape)}' for role, value in parts.items())}") from error


def _factors(parts: Mapping[str, Tensor]) -> LoraLayer:
    roles = set(parts) - {ALPHA, MAGNITUDE}
    if roles >= {DOWN, UP}:
        return _lora(parts)
    if roles <= _LOHA:
        return _loha(parts)
    if roles <= _LOKR:
        return _lokr(parts)
    raise ValueError("no known format")


def _lora(parts: Mapping[str, Tensor]) -> LoraLayer:
    down, up = parts[DOWN], parts[UP].flatten(1)
    scale = _scale(parts, len(down))
    if MID in parts:
        # A 1 x 1, a k x k and a 1 x 1 convolution, one after the other (Tucker).
        down = torch.einsum("pqkl,qi->pikl", parts[MID], down.flatten(1))
    return LoraLayer(down, scale * up)


def _loha(parts: Mapping[str, Tensor]) -> LoraLayer:
    """``(w1_a w1_b) * (w2_a w2_b)``, element by element; in Tucker form each side has a core."""
    scale = _scale(parts, len(parts["hada_w1_b"]))
    (first_up, first_down), (second_up, second_down) = (
        (parts[f"hada_w{side}_a"], parts[f"hada_w{side}_b"]) for side in (1, 2)
    )
    if "hada_t1" in parts:
        first, second = (
            torch.einsum("ijkl,ip,jr->prkl", parts[f"hada_t{side}"], up, down)
            for side, up, down in ((1, first_up, first_down), (2, second_up, second_down))
        )
        return _whole(scale * first * second)
    rank = len(first_down) * len(second_down)
    if rank >= min(len(first_up), first_down[0].numel()):
        return _whole(scale * (first_up @ first_down) * (second_up @ second_down))
    # The product of two sums of rank-one matrices, written out as one sum.
    up = (first_up[:, :, None] * second_up[:, None, :]).flatten(1)
    down = (first_down[:, None] * second_down[None, :]).flatten(0, 1)
    return LoraLayer(down, scale * up)


def _lokr(parts: Mapping[str, Tensor]) -> LoraLayer:
    """The Kronecker product of a small matrix ``w1`` and a larger one ``w2``, each whole or a product itself."""
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    ranks = [len(parts[name]) for name in ("lokr_w2_b", "lokr_w1_b") if name in parts]
    scale = _scale(parts, ranks[0]) if ranks else 1.0
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = torch.einsum("ijkl,ip,jr->prkl", parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
    else:
        up, down = parts["lokr_w2_a"], parts["lokr_w2_b"]
        rank = first.shape[1] * len(down)
        if rank < min(len(first) * len(up), first.shape[1] * down[0].numel()):
            return LoraLayer(torch.kron(torch.eye(first.shape[1]), down), scale * torch.kron(first, up))
        second = up @ down
    if second.ndim > first.ndim:
        first = first.unflatten(1, (-1, *([1] * (second.ndim - first.ndim))))
    return _whole(scale * torch.kron(first.contiguous(), second.contiguous()))


def _with_magnitude(layer: LoraLayer, magnitude: Tensor, weight: Tensor) -> LoraLayer:
    """DoRA: the changed weight's rows, or its columns where ``magnitude`` is [1, I], have these norms.

    As a change that a weight multiplies, as in ComfyUI (``comfy/weight_adapter/base.py``): with ``d`` the magnitudes
    over the norms, rows become ``d (W + B A)``, which is ``W`` and ``(d - 1) W + d B A``.
    """
    changed = weight.float() + layer.delta.view(weight.shape)
    if magnitude.ndim < 2 or magnitude.shape[0] != 1 or magnitude.numel() == 1:
        if magnitude.numel() != len(layer.up):
            raise ValueError("one magnitude for each row")
        ratio = magnitude.flatten() / changed.flatten(1).norm(dim=1)
        return LoraLayer(layer.down, ratio[:, None] * layer.up, ratio - 1)
    norms = changed.transpose(0, 1).flatten(1).norm(dim=1)
    scale = (magnitude.flatten() / norms).view(1, -1, *([1] * (weight.ndim - 2)))
    return _whole(changed * scale - weight.float())


def _whole(delta: Tensor) -> LoraLayer:
    """A change of full rank: one factor is the unit matrix."""
    rows, columns = len(delta), delta[0].numel()
    if delta.ndim > 2 or rows <= columns:
        return LoraLayer(delta, torch.eye(rows))
    return LoraLayer(torch.eye(columns), delta)


def _scale(parts: Mapping[str, Tensor], rank: int) -> float:
    return float(parts[ALPHA]) / rank if ALPHA in parts else 1.0
