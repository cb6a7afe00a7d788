"""The checkpoint of a training run: all that a resumed run needs to end with the weights of one never stopped."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers.training_utils import EMAModel

from photomaker_core.errors import UserError
from photomaker_core.training.durable_files import replacing_file
from photomaker_core.training.optimization import Optimization

CHECKPOINT_FILE: Final = "checkpoint.pt"


class CheckpointError(UserError):
    """A checkpoint that this run cannot go on from."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The file ``path`` and what it holds: weights, their moving average, the optimiser's state."""

    path: Path
    optimization: Optimization
    ema: EMAModel

    def load(self) -> tuple[int, float]:
        """Put the saved state in place; the steps and seconds that it took, (0, 0) where there is none.

        Raises :class:`CheckpointError` for a file that cannot be read, or is of another model or optimiser.
        """
        if not self.path.exists():
            return 0, 0.0
        saved = _read(self.path)
        parameters = self.optimization.parameters
        if [value.shape for value in saved["parameters"]] != [value.shape for value in parameters]:
            raise CheckpointError(
                f"{self.path} is of a model with other trained layers. Give this run another output, or remove the "
                "file."
            )
        if saved.get("optimizer_name", "adamw") != self.optimization.name:
            raise CheckpointError(
                f"{self.path} was trained with loop.optimizer: {saved.get('optimizer_name', 'adamw')}. Leave it so, or "
                "give this run another output."
            )
        with torch.no_grad():
            for parameter, value in zip(parameters, saved["parameters"], strict=True):
                parameter.copy_(value)
        self.optimization.load_state_dict(saved)
        device = self.ema.shadow_params[0].device
        self.ema.load_state_dict(saved["ema"])
        self.ema.to(device)
        return int(saved["step"]), float(saved["seconds"])

    def save(self, step: int, seconds: float) -> None:
        """Replace the file; where that fails the old one stays, and :class:`UnwrittenFileError` says why."""
        state = {
            "step": step,
            "seconds": seconds,
            "parameters": [parameter.detach() for parameter in self.optimization.parameters],
            "optimizer_name": self.optimization.name,
            **self.optimization.state_dict(),
            "ema": self.ema.state_dict(),
        }
        with replacing_file(self.path) as partial, partial.open("wb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:
                raise _cause(error) from error


def completed_steps(folder: Path) -> int:
    """The number of steps that the checkpoint in ``folder`` has done; 0 without one. Reads nothing else of it."""
    path = folder / CHECKPOINT_FILE
    return int(_read(path, mmap=True)["step"]) if path.exists() else 0


def _read(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu", mmap=mmap)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: {reason}. Remove it to begin anew; snapshots stay."
        ) from error
    return saved


def _cause(error: RuntimeError) -> OSError:
    """The reason for which torch's archive writer gave up, which it tells in words of its own."""
    cause = error.__context__ or error.__cause__
    return cause if isinstance(cause, OSError) else OSError(str(error).splitlines()[0])
