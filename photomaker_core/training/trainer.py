"""The training loop that every stage shares.

A :class:`Stage` says what is trained and what the loss of a step is; :func:`train` does the rest: optimiser,
learning-rate schedule, EMA, gradient accumulation, log, milestones, checkpoints and resume.
The batch of a step is a function of the seed and the step alone, so a resumed run takes the same steps. Nothing in a
step waits for the device but what is logged, so that a fast one is kept busy.
Under ``accelerate launch`` every process computes batches of its own and the gradients are averaged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

from photomaker_core.errors import UserError
from photomaker_core.training.batch_seeds import batch_seed
from photomaker_core.training.checkpoint import CHECKPOINT_FILE, Checkpoint
from photomaker_core.training.loop_settings import LoopSettings
from photomaker_core.training.milestones import Milestones
from photomaker_core.training.optimization import Optimization
from photomaker_core.training.stage import Figures, HeldOutLoss, Stage
from photomaker_core.training.training_log import TrainingLog


class TrainingError(UserError):
    """A run went astray; the sentence says what to change."""


def train(stage: Stage, settings: LoopSettings, folder: Path, held_out: HeldOutLoss | None = None) -> None:
    """Run ``stage`` to its last step, resuming from ``folder`` where a checkpoint is, and export it.

    Raises :class:`TrainingError` when the gradients stop being finite, :class:`UnwrittenFileError` when the disk is
    full, and :class:`CheckpointError` for a checkpoint that this run cannot go on from.
    """
    settings.check_packages()
    folder.mkdir(parents=True, exist_ok=True)
    # Precision is the loop's own business: accelerate fixes its own for the whole process at the first run.
    accelerator = Accelerator(gradient_accumulation_steps=settings.gradient_accumulation)
    set_seed(settings.seed)
    optimization = Optimization(
        stage.parameter_groups(),
        accelerator.device,
        name=settings.optimizer,
        weight_decay=settings.weight_decay,
        max_gradient_norm=settings.max_gradient_norm,
        scales_loss=settings.mixed_precision == "fp16",
    )
    parameters = optimization.parameters
    ema = EMAModel(parameters, decay=settings.ema_decay, use_ema_warmup=True, power=0.8, foreach=True)
    ema.to(accelerator.device)
    checkpoint = Checkpoint(folder / CHECKPOINT_FILE, optimization, ema)
    step, seconds_before = checkpoint.load()
    started = time.monotonic()

    def seconds() -> float:
        return seconds_before + time.monotonic() - started

    is_over = step >= settings.steps
    milestones = None
    if accelerator.is_main_process:
        log = TrainingLog(folder, step, tensorboard=settings.tensorboard)
        averaged = partial(_averaged, ema, parameters)
        milestones = Milestones(stage, settings, folder, log, averaged, accelerator.device, held_out)
        milestones.remove_leftovers()
        if step:
            milestones.reach(step, is_last=is_over, only_missing=True)
    bar = tqdm(total=settings.steps, initial=step, desc=folder.name, mininterval=5, disable=milestones is None)
    while not is_over:
        optimization.slow_down(settings.learning_rate_factor(step, settings.progress(step, seconds())))
        loss, figures = _accumulate(accelerator, stage, settings, optimization, step)
        if accelerator.num_processes > 1:
            _average_gradients(accelerator, parameters)
            loss = accelerator.reduce(loss, "mean")
        norm = optimization.step(loss)
        ema.step(parameters)
        bar.update()
        step += 1
        is_over = _agreed(accelerator, settings.progress(step, seconds()) >= 1)
        if milestones is None:
            continue
        if step % settings.log_every == 0 or is_over:
            left_out = optimization.left_out()
            row = {"loss": float(loss), "gradient_norm": float(norm), "skipped": left_out.faults}
            if settings.mixed_precision == "fp16":
                row |= {"overflows": left_out.overflows, "loss_scale": float(optimization.loss_scale)}
            row |= {"learning_rate": optimization.learning_rate}
            milestones.log.write(step, row | {name: float(value) for name, value in figures.items()})
            bar.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)
            if left_out.faults > settings.most_skipped:
                raise TrainingError(
                    f"{left_out.faults} of the last {settings.log_every} steps of {folder.name} had gradients that are "
                    "not finite. Lower the learning rate, or go on from an earlier checkpoint."
                )
        if settings.checkpoint_every and (step % settings.checkpoint_every == 0 or is_over):
            checkpoint.save(step, seconds())
        milestones.reach(step, is_last=is_over)
    bar.close()
    if milestones is not None:
        milestones.export()
        milestones.log.close()


def _accumulate(
    accelerator: Accelerator, stage: Stage, settings: LoopSettings, optimization: Optimization, step: int
) -> tuple[Tensor, Figures]:
    """Sum the gradients of one step's micro-batches; the mean loss, and the last one's figures."""
    total = torch.zeros((), device=accelerator.device)
    figures: Figures = {}
    for micro in range(settings.gradient_accumulation):
        number = micro * accelerator.num_processes + accelerator.process_index
        generator = torch.Generator().manual_seed(batch_seed(settings.seed, step, number))
        with settings.autocast(accelerator.device):
            loss, figures = stage.loss(settings.batch_size, generator)
        accelerator.backward(loss * optimization.loss_scale)
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
