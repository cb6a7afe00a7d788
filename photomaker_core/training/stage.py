"""What one kind of training is to the loop that all share: its parameters, its loss, its pictures and its export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from photomaker_core.training.optimization import ParameterGroup

Figures = Mapping[str, Tensor | float]
HeldOutLoss = Callable[[int, torch.Generator], Tensor]
"""The loss of a batch of so many pictures that are never trained on; the same for the same generator."""


class Stage(Protocol):
    """The part of one kind of training that the loop calls."""

    def parameter_groups(self) -> list[ParameterGroup]: ...

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        """The loss of one micro-batch, and figures for the log, on any device."""

    def sample(self, path: Path) -> None:
        """Write a PNG that shows how far training is, or nothing. Called with the EMA weights in place."""

    def export(self, folder: Path) -> None:
        """Write the trained model. Called with the EMA weights in place."""


@runtime_checkable
class ValidatedStage(Stage, Protocol):
    """A stage whose loss can be taken on pictures that it is never trained on."""

    def held_out_loss(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """A :data:`HeldOutLoss`."""
