"""The training loop that every stage shares.

A :class:`Stage` says what is trained and what the loss of a step is; :func:`train` does the rest:
optimiser, learning-rate schedule, EMA, gradient accumulation, log, samples, checkpoints and resume.
The batch of a step is a function of the seed and the step alone, so a resumed run takes the same steps.
Under ``accelerate launch`` every process computes batches of its own and the gradients are averaged.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

from photomaker_core.errors import UserError

_MOST_BATCHES: Final = 101


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How long and how to train.

    A step takes ``batch_size`` x ``gradient_accumulation`` pictures in each process. ``mixed_precision`` is
    ``no`` or ``bf16``. Samples are drawn every ``sample_every`` steps and after the last; 0 draws none.
    """

    steps: int
    batch_size: int
    warmup_steps: int = 100
    schedule: str = "cosine"
    gradient_accumulation: int = 1
    max_gradient_norm: float = 1.0
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    mixed_precision: str = "no"
    seed: int = 0
    log_every: int = 20
    sample_every: int = 500
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        if self.mixed_precision not in ("no", "bf16"):
            raise UserError(f"loop.mixed_precision must be bf16 or be left out; {self.mixed_precision!r} is not known.")


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a learning rate."""

    parameters: Sequence[nn.Parameter]
    learning_rate: float


class Stage(Protocol):
    """What one kind of training adds to the loop."""

    def parameter_groups(self) -> list[ParameterGroup]: ...

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of one micro-batch, and figures for the log."""

    def sample(self, path: Path) -> None:
        """Write a picture that shows how far training is. Called with the EMA weights in place."""

    def export(self, folder: Path) -> None:
        """Write the trained model. Called with the EMA weights in place."""


def train(stage: Stage, settings: LoopSettings, folder: Path) -> None:
    """Run ``stage`` to its last step, resuming from ``folder`` where a checkpoint is, and export it."""
    folder.mkdir(parents=True, exist_ok=True)
    # Precision is the loop's own business: accelerate fixes its own for the whole process at the first run.
    accelerator = Accelerator(gradient_accumulation_steps=settings.gradient_accumulation)
    half = settings.mixed_precision == "bf16"
    set_seed(settings.seed)
    groups = stage.parameter_groups()
    parameters = [parameter for group in groups for parameter in group.parameters]
    optimizer = torch.optim.AdamW(
        [{"params": list(group.parameters), "lr": group.learning_rate} for group in groups],
        betas=(0.9, 0.99),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    schedule = get_scheduler(
        settings.schedule,
        optimizer,
        num_warmup_steps=settings.warmup_steps,
        num_training_steps=settings.steps,
    )
    ema = EMAModel(parameters, decay=settings.ema_decay, use_ema_warmup=True, power=0.8)
    ema.to(accelerator.device)
    state = _Checkpoint(folder / "checkpoint.pt", parameters, optimizer, schedule, ema)
    first = state.load()
    log = _Log(folder / "log.csv", first) if accelerator.is_main_process else None
    progress = tqdm(total=settings.steps, initial=first, desc=folder.name, mininterval=5, disable=log is None)
    for step in range(first, settings.steps):
        total = 0.0
        figures: dict[str, float] = {}
        for micro in range(settings.gradient_accumulation):
            number = micro * accelerator.num_processes + accelerator.process_index
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step * _MOST_BATCHES + number)
            with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=half):
                loss, figures = stage.loss(settings.batch_size, generator)
            accelerator.backward(loss)
            total += loss.item() / settings.gradient_accumulation
        if accelerator.num_processes > 1:
            _average_gradients(accelerator, parameters)
        norm = accelerator.clip_grad_norm_(parameters, settings.max_gradient_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        ema.step(parameters)
        progress.update()
        done = step + 1
        if log is None:
            continue
        if done % settings.log_every == 0:
            row = {
                "step": done,
                "loss": total,
                "gradient_norm": float(norm),
                "learning_rate": schedule.get_last_lr()[0],
            }
            log.write(row | figures)
            progress.set_postfix(loss=f"{total:.4f}")
        if done % settings.checkpoint_every == 0 or done == settings.steps:
            state.save(done)
        if settings.sample_every and (done % settings.sample_every == 0 or done == settings.steps):
            with _averaged(ema, parameters):
                stage.sample(folder / f"sample-{done:06d}.png")
    progress.close()
    if accelerator.is_main_process:
        with _averaged(ema, parameters):
            stage.export(folder / "export")


def _average_gradients(accelerator: Accelerator, parameters: list[nn.Parameter]) -> None:
    """Every process ends with the mean; one whose batch did not touch a parameter counts with zeros."""
    for parameter in parameters:
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        parameter.grad = accelerator.reduce(gradient, "mean")


@contextmanager
def _averaged(ema: EMAModel, parameters: list[nn.Parameter]) -> Iterator[None]:
    ema.store(parameters)
    ema.copy_to(parameters)
    try:
        yield
    finally:
        ema.restore(parameters)


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    path: Path
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: Any
    ema: EMAModel

    def load(self) -> int:
        if not self.path.exists():
            return 0
        saved = torch.load(self.path, weights_only=True, map_location="cpu")
        with torch.no_grad():
            for parameter, value in zip(self.parameters, saved["parameters"], strict=True):
                parameter.copy_(value)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.ema.load_state_dict(saved["ema"])
        return int(saved["step"])

    def save(self, step: int) -> None:
        partial = self.path.with_suffix(".partial")
        torch.save(
            {
                "step": step,
                "parameters": [parameter.detach() for parameter in self.parameters],
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "ema": self.ema.state_dict(),
            },
            partial,
        )
        partial.replace(self.path)


class _Log:
    """A CSV file of the run's figures; rows after the resumed step are dropped."""

    def __init__(self, path: Path, first_step: int) -> None:
        self._path = path
        rows = []
        if path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= first_step]
        self._fields = list(rows[0]) if rows else []
        self._rewrite(rows)

    def write(self, row: dict[str, float]) -> None:
        if not self._fields:
            self._fields = list(row)
            self._rewrite([])
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, self._fields, extrasaction="ignore").writerow(row)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with self._path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._fields)
            writer.writeheader()
            writer.writerows(rows)
