"""The figures and pictures of a run: as CSV files, and for TensorBoard where that is asked for."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from photomaker_core.training.durable_files import replacing_file

LOG_FILE: Final = "log.csv"
VALIDATION_FILE: Final = "validation.csv"
_TENSORBOARD_FOLDER: Final = "tensorboard"


class TrainingLog:
    """Writes what a run in ``folder`` shows; what was written after ``first_step``, where it goes on, is dropped."""

    def __init__(self, folder: Path, first_step: int, *, tensorboard: bool) -> None:
        self._steps = _Table(folder / LOG_FILE, first_step)
        self._validations = _Table(folder / VALIDATION_FILE, first_step)
        self._board: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / _TENSORBOARD_FOLDER), purge_step=first_step + 1)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Log the figures of a training step."""
        self._steps.write({"step": step, **figures})
        self._plot("training", step, figures)

    def write_validation(self, step: int, loss: float) -> None:
        """Log the loss on held-out pictures after ``step``."""
        self._validations.write({"step": step, "loss": loss})
        self._plot("validation", step, {"loss": loss})

    def is_validated(self, step: int) -> bool:
        """True where the loss on held-out pictures after ``step`` is logged."""
        return self._validations.last_step == step

    def show(self, step: int, picture: Path) -> None:
        """Log a picture that was drawn after ``step``."""
        if self._board is not None:
            with Image.open(picture) as opened:
                pixels = np.asarray(opened.convert("RGB"))
            self._board.add_image("sample", pixels, step, dataformats="HWC")

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _plot(self, group: str, step: int, figures: Mapping[str, float]) -> None:
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(f"{group}/{name}", value, step)


class _Table:
    """A CSV file with a row for some steps, whose columns the first row names."""

    def __init__(self, path: Path, first_step: int) -> None:
        self._path = path
        rows = []
        if path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if _step_of(row) <= first_step]
        self._fields = list(rows[0]) if rows else []
        self.last_step = _step_of(rows[-1]) if rows else 0
        self._rewrite(rows)

    def write(self, row: Mapping[str, float]) -> None:
        if not self._fields:
            self._fields = list(row)
            self._rewrite([])
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, self._fields, extrasaction="ignore").writerow(row)
        self.last_step = int(row["step"])

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        if not self._fields:
            self._path.unlink(missing_ok=True)
            return
        with replacing_file(self._path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._fields)
            writer.writeheader()
            writer.writerows(rows)


def _step_of(row: Mapping[str, Any]) -> float:
    """The step of a row; infinity for one that was cut off while it was written."""
    try:
        return float("inf") if None in row.values() else int(row["step"])
    except (KeyError, ValueError):
        return float("inf")
