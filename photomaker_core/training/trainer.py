"""The training loop that every stage shares.

A :class:`Stage` says what is trained and what the loss of a step is; :func:`train` does the rest:
optimiser, learning-rate schedule, EMA, gradient accumulation, log, samples, checkpoints and resume.
The batch of a step is a function of the seed and the step alone, so a resumed run takes the same steps. Nothing in a
step waits for the device but what is logged, so that a fast one is kept busy.
Under ``accelerate launch`` every process computes batches of its own and the gradients are averaged.
"""

from __future__ import annotations

import csv
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

from photomaker_core.errors import UserError

CHECKPOINT_FILE: Final = "checkpoint.pt"
Figures = Mapping[str, Tensor | float]
_SCHEDULES: Final[dict[str, Callable[[float], float]]] = {
    "constant_with_warmup": lambda _: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
}


class TrainingError(UserError):
    """A run went astray; the sentence says what to change."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """The length and the settings of a training run.

    A step takes ``batch_size`` x ``gradient_accumulation`` pictures in each process. ``mixed_precision`` is
    ``no`` or ``bf16``. Samples are drawn every ``sample_every`` steps and after the last; 0 draws none. With
    ``most_seconds`` the run ends earlier when so much time has passed, and the learning rate falls in that time;
    it then depends on the machine how many steps are taken. A step whose gradients are not finite changes nothing;
    more than ``most_skipped`` of them between two rows of the log end the run.
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
    most_seconds: float | None = None
    most_skipped: int = 10

    def __post_init__(self) -> None:
        if self.mixed_precision not in ("no", "bf16"):
            raise UserError(f"loop.mixed_precision must be bf16 or be left out; {self.mixed_precision!r} is not known.")
        if self.schedule not in _SCHEDULES:
            raise UserError(f"loop.schedule is {self.schedule!r}; it must be one of {', '.join(_SCHEDULES)}.")

    def progress(self, step: int, seconds: float) -> float:
        """The share of the run that is over after ``step`` steps in ``seconds``, 0..1."""
        spent = seconds / self.most_seconds if self.most_seconds else 0.0
        return min(1.0, max(step / self.steps, spent))

    def learning_rate_factor(self, step: int, progress: float) -> float:
        """The factor of a group's learning rate in the step numbered ``step`` from 0."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warmup * _SCHEDULES[self.schedule](progress)


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a learning rate."""

    parameters: Sequence[nn.Parameter]
    learning_rate: float


class Stage(Protocol):
    """The part of one kind of training that the loop calls."""

    def parameter_groups(self) -> list[ParameterGroup]: ...

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        """The loss of one micro-batch, and figures for the log, on any device."""

    def sample(self, path: Path) -> None:
        """Write a picture that shows how far training is. Called with the EMA weights in place."""

    def export(self, folder: Path) -> None:
        """Write the trained model. Called with the EMA weights in place."""


def train(stage: Stage, settings: LoopSettings, folder: Path) -> None:
    """Run ``stage`` to its last step, resuming from ``folder`` where a checkpoint is, and export it.

    Raises :class:`TrainingError` when the gradients stop being finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Precision is the loop's own business: accelerate fixes its own for the whole process at the first run.
    accelerator = Accelerator(gradient_accumulation_steps=settings.gradient_accumulation)
    set_seed(settings.seed)
    groups = stage.parameter_groups()
    parameters = [parameter for group in groups for parameter in group.parameters]
    optimizer = torch.optim.AdamW(
        [{"params": list(group.parameters), "lr": group.learning_rate} for group in groups],
        betas=(0.9, 0.99),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    ema = EMAModel(parameters, decay=settings.ema_decay, use_ema_warmup=True, power=0.8, foreach=True)
    ema.to(accelerator.device)
    state = _Checkpoint(folder / CHECKPOINT_FILE, parameters, optimizer, ema)
    step, seconds_before = state.load()
    log = _Log(folder / "log.csv", step) if accelerator.is_main_process else None
    bar = tqdm(total=settings.steps, initial=step, desc=folder.name, mininterval=5, disable=log is None)
    started = time.monotonic()
    skipped = torch.zeros((), device=accelerator.device)
    is_over = step >= settings.steps
    while not is_over:
        seconds = seconds_before + time.monotonic() - started
        factor = settings.learning_rate_factor(step, settings.progress(step, seconds))
        for settled, group in zip(optimizer.param_groups, groups, strict=True):
            settled["lr"] = group.learning_rate * factor
        total, figures = _accumulate(accelerator, stage, settings, step)
        if accelerator.num_processes > 1:
            _average_gradients(accelerator, parameters)
        norm = accelerator.clip_grad_norm_(parameters, settings.max_gradient_norm)
        # What torch's own gradient scaler sets: the fused optimiser then leaves everything as it is.
        optimizer.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]
        skipped += optimizer.found_inf  # type: ignore[attr-defined]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.step(parameters)
        bar.update()
        step += 1
        is_over = _agreed(accelerator, settings.progress(step, seconds_before + time.monotonic() - started) >= 1)
        if log is None:
            continue
        if step % settings.log_every == 0 or is_over:
            left_out = int(skipped)
            row = {"step": step, "loss": float(total), "gradient_norm": float(norm), "skipped": left_out}
            log.write(row | {"learning_rate": settled["lr"]} | {name: float(value) for name, value in figures.items()})
            bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
            if left_out > settings.most_skipped:
                raise TrainingError(
                    f"{left_out} of the last {settings.log_every} steps of {folder.name} had gradients that are not "
                    "finite. Lower the learning rate, or go on from an earlier checkpoint."
                )
            skipped.zero_()
        if settings.checkpoint_every and (step % settings.checkpoint_every == 0 or is_over):
            state.save(step, seconds_before + time.monotonic() - started)
        if settings.sample_every and (step % settings.sample_every == 0 or is_over):
            with _averaged(ema, parameters):
                stage.sample(folder / f"sample-{step:06d}.png")
    bar.close()
    if accelerator.is_main_process:
        with _averaged(ema, parameters):
            stage.export(folder / "export")


def completed_steps(folder: Path) -> int:
    """The number of steps that the checkpoint in ``folder`` has done; 0 without one. Reads nothing else of it."""
    path = folder / CHECKPOINT_FILE
    return int(torch.load(path, weights_only=True, map_location="cpu", mmap=True)["step"]) if path.exists() else 0


def batch_seed(seed: int, step: int, number: int) -> int:
    """The seed of batch ``number`` of a step: another for every batch of every step and run."""
    digest = hashlib.sha256(f"{seed} {step} {number}".encode()).digest()
    return int.from_bytes(digest[:7])


def _accumulate(accelerator: Accelerator, stage: Stage, settings: LoopSettings, step: int) -> tuple[Tensor, Figures]:
    """Sum the gradients of one step's micro-batches; the mean loss, and the last one's figures."""
    total = torch.zeros((), device=accelerator.device)
    figures: Figures = {}
    for micro in range(settings.gradient_accumulation):
        number = micro * accelerator.num_processes + accelerator.process_index
        generator = torch.Generator().manual_seed(batch_seed(settings.seed, step, number))
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=settings.mixed_precision == "bf16"):
            loss, figures = stage.loss(settings.batch_size, generator)
        accelerator.backward(loss)
        total += loss.detach() / settings.gradient_accumulation
    return total, figures


def _agreed(accelerator: Accelerator, is_over: bool) -> bool:
    """Clocks differ between processes: the run is over for all when it is for one."""
    if accelerator.num_processes == 1:
        return is_over
    flag = torch.tensor(float(is_over), device=accelerator.device)
    return bool(accelerator.reduce(flag, "sum") > 0)


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
    ema: EMAModel

    def load(self) -> tuple[int, float]:
        """Put the saved state in place; the steps and seconds that it took, (0, 0) where there is none."""
        if not self.path.exists():
            return 0, 0.0
        saved = torch.load(self.path, weights_only=True, map_location="cpu")
        with torch.no_grad():
            for parameter, value in zip(self.parameters, saved["parameters"], strict=True):
                parameter.copy_(value)
        self.optimizer.load_state_dict(saved["optimizer"])
        device = self.ema.shadow_params[0].device
        self.ema.load_state_dict(saved["ema"])
        self.ema.to(device)
        return int(saved["step"]), float(saved["seconds"])

    def save(self, step: int, seconds: float) -> None:
        partial = self.path.with_suffix(".partial")
        torch.save(
            {
                "step": step,
                "seconds": seconds,
                "parameters": [parameter.detach() for parameter in self.parameters],
                "optimizer": self.optimizer.state_dict(),
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

    def write(self, row: Mapping[str, float]) -> None:
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
