"""Modules that wait in CPU memory and come to the device only to work. Called where encoders run, and by placement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.hooks import CpuOffload as OffloadHook
from accelerate.hooks import add_hook_to_module
from torch import nn


class HostWeights:
    """A module's weights in CPU memory. They stay there while it works on a device: going back copies none.

    Whoever changes the weights on the device loses the change.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module.to("cpu")
        self._weights = [
            (owner, name, parameter, parameter.data)
            for owner in module.modules()
            for name, parameter in owner.named_parameters(recurse=False)
        ]

    def restore(self) -> None:
        """Free the device of the module."""
        if next(self.module.parameters()).device.type == "cpu":
            return
        for owner, name, parameter, weights in self._weights:
            parameter.data = weights
            setattr(owner, name, parameter)
        self.module.to("cpu")


@dataclass(frozen=True, slots=True)
class CpuOffload:
    """The device that a module works on; it waits in CPU memory. What is ``evicted`` leaves the device before it."""

    work: torch.device
    evicted: Sequence[HostWeights] = ()


@contextmanager
def on_device(offload: CpuOffload | None, *modules: nn.Module) -> Iterator[None]:
    """Bring ``modules`` to the device and, whatever happens, back; without an ``offload`` they stay where they are."""
    if offload is None:
        yield
        return
    hosted = [HostWeights(module) for module in modules]
    try:
        for other in offload.evicted:
            other.restore()
        for module in modules:
            module.to(offload.work)
        yield
    finally:
        for one in hosted:
            one.restore()


def offload_in_turns(parts: Sequence[nn.Module], device: torch.device) -> list[HostWeights]:
    """From now on each of ``parts`` comes to ``device`` when it is called, once every other has left it.

    diffusers' own model offload sends away only the part that comes before the called one in a fixed order. A server
    calls them in any order: the next request's text encoders run between two UNet steps, or after a decode. Returns
    the parts' weights, for whoever needs the device for something else.
    """
    hosted = [HostWeights(part) for part in parts]
    for part in parts:
        add_hook_to_module(part, _Turn(device, [one for one in hosted if one.module is not part]))
    return hosted


class _Turn(OffloadHook):  # type: ignore[misc]
    """accelerate's offload hook of a whole part, which sends every other part away first."""

    def __init__(self, device: torch.device, others: Sequence[HostWeights]) -> None:
        super().__init__(execution_device=device)
        self._others = others

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        for other in self._others:
            other.restore()
        return super().pre_forward(module, *args, **kwargs)
