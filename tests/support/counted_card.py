"""A card that is not there: the meta device stands for it, and what lies on it is counted in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from photomaker_core.memory.live_bytes import FusedAttention, LiveBytes

CARD: Final = torch.device("meta")


class CountedCard(LiveBytes):
    """``live`` bytes are on the card now, ``peak`` were at most."""

    def counts(self, tensor: Tensor) -> bool:
        return tensor.is_meta


class _Finite:
    def all(self) -> bool:
        return True


class _NumbersAreFinite(TorchFunctionMode):
    """Tensors on the card hold no numbers to look at."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _Finite() if func is Tensor.isfinite else func(*args, **(kwargs or {}))


@contextmanager
def counted_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedCard]:
    """Within the context modules can be moved to :data:`CARD` and back, without their numbers, and are counted."""
    monkeypatch.setattr(nn.Module, "to", _move)
    card = CountedCard()
    with torch.no_grad(), card, FusedAttention(), _NumbersAreFinite():
        yield card


def _move(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """What ``nn.Module.to`` does; it refuses to bring weights back from the meta device."""
    device, dtype, _, _ = torch._C._nn._parse_to(*args, **kwargs)

    def moved(tensor: Tensor) -> Tensor:
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        target = device or tensor.device
        if (target.type, kind) == (tensor.device.type, tensor.dtype):
            return tensor
        return torch.empty_like(tensor, device=target, dtype=kind) if tensor.is_meta else tensor.to(target, kind)

    _replace(module, moved)
    return module


def _replace(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                changed = change(parameter.data)
                if changed.device != parameter.device or changed.dtype != parameter.dtype:
                    part._parameters[name] = nn.Parameter(changed, requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = change(buffer)
