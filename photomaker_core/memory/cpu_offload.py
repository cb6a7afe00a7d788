"""Modules that wait in CPU memory and come to the device only to work. Called where encoders run, and by placement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from torch import nn


class CpuWeights:
    """A module's weights in CPU memory. They stay there while it works on a device: coming back copies none.

    Changes that are made to the weights on the device are lost.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module.to("cpu")
        self._weights = [
            (owner, name, parameter, parameter.data)
            for owner in module.modules()
            for name, parameter in owner.named_parameters(recurse=False)
        ]

    def restore(self) -> None:
        """Take the module off the device."""
        if all(one.device.type == "cpu" for one in self.module.parameters()):
            return
        for owner, name, parameter, weights in self._weights:
            parameter.data = weights
            setattr(owner, name, parameter)
        self.module.to("cpu")


@dataclass(frozen=True, slots=True)
class CpuOffload:
    """The device that a module works on; it waits in CPU memory. What is ``evicted`` leaves the device before it."""

    work: torch.device
    evicted: Sequence[CpuWeights] = ()


@contextmanager
def on_device(offload: CpuOffload | None, *modules: nn.Module) -> Iterator[None]:
    """Bring ``modules`` to the device and, whatever happens, back; without an ``offload`` they stay where they are."""
    if offload is None:
        yield
        return
    kept = [CpuWeights(module) for module in modules]
    try:
        for other in offload.evicted:
            other.restore()
        for module in modules:
            module.to(offload.work)
        yield
    finally:
        for one in kept:
            one.restore()


def offload_in_turns(parts: Sequence[nn.Module], device: torch.device) -> Sequence[CpuWeights]:
    """From now on each of ``parts`` comes to ``device`` when it is called, once every other has left it.

    diffusers' own model offload sends away only the part that comes before the called one in a fixed order. A server
    calls them in any order: the next request's text encoders run between two UNet steps, or after a decode. Returns
    the parts' weights in CPU memory.
    """
    kept = [CpuWeights(part) for part in parts]
    for part in parts:
        add_hook_to_module(part, _Turn(device, [one for one in kept if one.module is not part]))
    return kept


class _Turn(ModelHook):  # type: ignore[misc]
    """accelerate's hook of one part, which sends every other part away first."""

    def __init__(self, device: torch.device, others: Sequence[CpuWeights]) -> None:
        self._device, self._others = device, others

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        for other in self._others:
            other.restore()
        module.to(self._device)
        return args, kwargs
