"""Modules that wait in CPU memory and go to the device only to work. Called where encoders run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class CpuOffload:
    """Where a module works; it waits in CPU memory."""

    work: torch.device


@contextmanager
def on_device(offload: CpuOffload | None, *modules: nn.Module) -> Iterator[None]:
    """Bring ``modules`` to work and, whatever happens, home again; without a ``parking`` they stay where they are."""
    if offload is None:
        yield
        return
    try:
        for module in modules:
            module.to(offload.work)
        yield
    finally:
        for module in modules:
            module.to("cpu")
