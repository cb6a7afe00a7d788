"""What a run leaves behind on its way: losses on held-out pictures, samples, and snapshots by number."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from photomaker_core.training.batch_seeds import batch_seed
from photomaker_core.training.durable_files import remove_leftovers, replacing_file, replacing_folder
from photomaker_core.training.loop_settings import LoopSettings
from photomaker_core.training.stage import HeldOutLoss, Stage
from photomaker_core.training.training_log import TrainingLog

SNAPSHOTS_FOLDER: Final = "snapshots"
_BEFORE_TRAINING: Final = -1


@dataclass(frozen=True, slots=True)
class Milestones:
    """Called by one process of a run, between steps; ``averaged`` puts the EMA weights in place for a while."""

    stage: Stage
    settings: LoopSettings
    folder: Path
    log: TrainingLog
    averaged: Callable[[], AbstractContextManager[None]]
    device: torch.device
    held_out: HeldOutLoss | None = None

    def reach(self, step: int, *, is_last: bool, only_missing: bool = False) -> None:
        """Leave what is due after ``step``; with ``only_missing`` what a killed run did not come to."""
        settings = self.settings
        validates = self.held_out is not None and _is_due(settings.validate_every, step, is_last)
        samples, sample = _is_due(settings.sample_every, step, is_last), self.folder / f"sample-{step:06d}.png"
        snaps = bool(settings.snapshot_every) and step % settings.snapshot_every == 0
        snapshot = self.folder / SNAPSHOTS_FOLDER / f"{step:06d}"
        if only_missing:
            validates &= not self.log.is_validated(step)
            samples &= not sample.exists()
            snaps &= not snapshot.exists()
        if not (validates or samples or snaps):
            return
        with self.averaged():
            if validates:
                self.log.write_validation(step, self.validation_loss())
            if samples:
                self._sample(sample, step)
            if snaps:
                with replacing_folder(snapshot) as partial:
                    self.stage.export(partial)
                self._forget_snapshots(step)

    def export(self) -> None:
        """Write the finished model."""
        with self.averaged(), replacing_folder(self.folder / "export") as partial:
            self.stage.export(partial)

    def remove_leftovers(self) -> None:
        """Remove what a killed run was writing."""
        remove_leftovers(self.folder)
        snapshots = self.folder / SNAPSHOTS_FOLDER
        if snapshots.exists():
            remove_leftovers(snapshots)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """The mean loss on held-out pictures, with the same pictures, timesteps and noise at every call."""
        assert self.held_out is not None
        total = torch.zeros((), device=self.device)
        for number in range(self.settings.validation_batches):
            generator = torch.Generator().manual_seed(batch_seed(0, _BEFORE_TRAINING, number))
            with self.settings.autocast(self.device):
                total += self.held_out(self.settings.batch_size, generator)
        return float(total) / self.settings.validation_batches

    def _sample(self, path: Path, step: int) -> None:
        with replacing_file(path) as partial:
            self.stage.sample(partial)
        if path.exists():
            self.log.show(step, path)

    def _forget_snapshots(self, step: int) -> None:
        """Keep the last of those up to ``step``; later ones are another run's, and nothing of ours to remove."""
        if not self.settings.keep_snapshots:
            return
        found = sorted(
            (int(one.name), one) for one in (self.folder / SNAPSHOTS_FOLDER).iterdir() if one.name.isdecimal()
        )
        for _, path in [pair for pair in found if pair[0] <= step][: -self.settings.keep_snapshots]:
            shutil.rmtree(path, ignore_errors=True)


def _is_due(every: int, step: int, is_last: bool) -> bool:
    return bool(every) and (step % every == 0 or is_last)
