"""Modules that wait in CPU memory and go to the device only to work. Called where encoders run, and by placement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.hooks import CpuOffload as OffloadHook
from accelerate.hooks import add_hook_to_module
from torch import nn


class Home:
    """A module's weights in CPU memory. They stay there while it works on a device: going home copies none.

    Whoever changes the weights on the device loses the change.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module.to("cpu")
        self._weights = [
            (owner, name, parameter, parameter.data)
            for owner in module.modules()
            for name, parameter in owner.named_parameters(recurse=False)
        ]

    def send(self) -> None:
        """Free the device of the module."""
        if next(self.module.parameters()).device.type == "cpu":
            return
        for owner, name, parameter, weights in self._weights:
            parameter.data = weights
            setattr(owner, name, parameter)
        self.module.to("cpu")


@dataclass(frozen=True, slots=True)
class CpuOffload:
    """Where a module works; it waits in CPU memory. Those that are ``evicted`` leave the device before it comes."""

    work: torch.device
    evicted: Sequence[Home] = ()


@contextmanager
def on_device(offload: CpuOffload | None, *modules: nn.Module) -> Iterator[None]:
    """Bring ``modules`` to work and, whatever happens, home again; without an ``offload`` they stay where they are."""
    if offload is None:
        yield
        return
    homes = [Home(module) for module in modules]
    try:
        for other in offload.evicted:
            other.send()
        for module in modules:
            module.to(offload.work)
        yield
    finally:
        for home in homes:
            home.send()


def take_turns(parts: Sequence[nn.Module], device: torch.device) -> list[Home]:
    """From now on each of ``parts`` comes to ``device`` when it is called, once every other has left it.

    diffusers' own model offload sends home only the part before the called one in a fixed order. A server calls them
    in any order: the next request's text encoders run between two UNet steps, or after a decode. Returns their homes.
    """
    homes = [Home(part) for part in parts]
    for part in parts:
        add_hook_to_module(part, _Turn(device, [home for home in homes if home.module is not part]))
    return homes


class _Turn(OffloadHook):  # type: ignore[misc]
    """accelerate's offload hook of a whole part, which sends every other part home first."""

    def __init__(self, device: torch.device, others: Sequence[Home]) -> None:
        super().__init__(execution_device=device)
        self._others = others

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        for other in self._others:
            other.send()
        return super().pre_forward(module, *args, **kwargs)
