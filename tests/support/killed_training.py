"""A training run that is killed with SIGKILL at random instants; run as a program, it says how that ended.

    python -m tests.support.killed_training FOLDER KILLS

Runs are forked from this process, which starts none itself: a killed run takes tqdm's lock with it.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from photomaker_core.training.loop_settings import LoopSettings
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.stage import Figures
from photomaker_core.training.trainer import train

_SIZE = 50_000
_SECONDS_ALIVE = 0.15
_SETTINGS = LoopSettings(
    steps=24,
    batch_size=1,
    warmup_steps=5,
    log_every=1,
    sample_every=3,
    checkpoint_every=1,
    snapshot_every=2,
    keep_snapshots=3,
    validate_every=3,
    validation_batches=1,
)


class Noise:
    """A stage that fits a vector to noise."""

    def __init__(self) -> None:
        self._weight = torch.nn.Parameter(torch.zeros(_SIZE))

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup([self._weight], 1e-2)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        return (self._weight - torch.randn(_SIZE, generator=generator)).square().mean(), {}

    def sample(self, path: Path) -> None:
        torch.save(self._weight, path)

    def export(self, folder: Path) -> None:
        torch.save(self._weight, folder / "weights.pt")


def _started(folder: Path) -> int:
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            stage = Noise()
            train(stage, _SETTINGS, folder, lambda count, generator: stage.loss(count, generator)[0])
        finally:
            os._exit(0)
    return process


def _contents(folder: Path) -> dict[str, bytes]:
    """What a run leaves, but for the checkpoint, which holds the seconds that it took."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "checkpoint.pt")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def main(work: Path, kills: int) -> None:
    torch.set_num_threads(1)
    chance = random.Random(1)
    os.waitpid(_started(work / "whole"), 0)
    for _ in range(kills):
        process = _started(work / "cut")
        time.sleep(chance.uniform(0, _SECONDS_ALIVE))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    os.waitpid(_started(work / "cut"), 0)
    whole, cut = _contents(work / "whole"), _contents(work / "cut")
    differing = [name for name in whole if whole[name] != cut.get(name)]
    print(sorted(whole) == sorted(cut), "export/weights.pt" in whole, differing)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
