"""The key ``loop`` of a training configuration: how long a run is, and what it does on its way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import torch

from photomaker_core.errors import UserError
from photomaker_core.training.optimization import OPTIMIZERS, check_optimizer

_SCHEDULES: Final[dict[str, Callable[[float], float]]] = {
    "constant_with_warmup": lambda _: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
}
_PRECISIONS: Final = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_AT_LEAST_ONE: Final = ("steps", "batch_size", "gradient_accumulation", "log_every", "validation_batches")
_NOT_NEGATIVE: Final = (
    "warmup_steps", "sample_every", "checkpoint_every", "snapshot_every", "keep_snapshots", "validate_every",
    "most_skipped",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """The length and the settings of a training run.

    A step takes ``batch_size`` x ``gradient_accumulation`` pictures in each process. ``mixed_precision`` is ``no``,
    ``bf16``, or ``fp16`` with a loss scale. ``optimizer`` is ``adamw`` or ``adamw8bit``.

    What happens ``_every`` so many steps happens after the last one too, and never with 0: samples are drawn, the
    state is saved to resume from, the loss on ``validation_batches`` batches of held-out pictures is taken. Snapshots
    of the averaged weights are kept by number, the last ``keep_snapshots`` of them, or all with 0. ``tensorboard``
    writes for TensorBoard what the log has.

    With ``most_seconds`` the run ends earlier when so much time has passed, and the learning rate falls in that time;
    it then depends on the machine how many steps are taken. A step whose gradients are not finite changes no weight;
    more than ``most_skipped`` of them between two rows of the log end the run. In fp16 steps that only the loss scale
    spoils are counted apart, and end nothing.
    """

    steps: int
    batch_size: int
    warmup_steps: int = 100
    schedule: str = "cosine"
    gradient_accumulation: int = 1
    max_gradient_norm: float = 1.0
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    mixed_precision: str = "no"
    seed: int = 0
    log_every: int = 20
    tensorboard: bool = False
    sample_every: int = 500
    checkpoint_every: int = 250
    snapshot_every: int = 0
    keep_snapshots: int = 0
    validate_every: int = 0
    validation_batches: int = 16
    most_seconds: float | None = None
    most_skipped: int = 10

    def __post_init__(self) -> None:
        for value, known in (
            ("mixed_precision", tuple(_PRECISIONS)),
            ("schedule", tuple(_SCHEDULES)),
            ("optimizer", OPTIMIZERS),
        ):
            if getattr(self, value) not in known:
                raise UserError(f"loop.{value} is {getattr(self, value)!r}; it must be one of {', '.join(known)}.")
        for names, least in ((_AT_LEAST_ONE, 1), (_NOT_NEGATIVE, 0)):
            for name in names:
                if getattr(self, name) < least:
                    raise UserError(f"loop.{name} is {getattr(self, name)}; it must be at least {least}.")

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context in which losses are computed."""
        dtype = _PRECISIONS[self.mixed_precision]
        return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)

    def check_packages(self) -> None:
        """Raise :class:`UserError` for what these settings need and this machine has not."""
        check_optimizer(self.optimizer)
        if self.tensorboard and find_spec("tensorboard") is None:
            raise UserError("loop.tensorboard needs TensorBoard. Install it with: pip install 'photomaker-bot[train]'")

    def progress(self, step: int, seconds: float) -> float:
        """The share of the run that is over after ``step`` steps in ``seconds``, 0..1."""
        spent = seconds / self.most_seconds if self.most_seconds else 0.0
        return min(1.0, max(step / self.steps, spent))

    def learning_rate_factor(self, step: int, progress: float) -> float:
        """The factor of a group's learning rate in the step numbered ``step`` from 0."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warmup * _SCHEDULES[self.schedule](progress)
