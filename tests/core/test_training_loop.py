"""The training loop on a stage of one number: resume, kills, full disks, precision, validation and logs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from photomaker_core.training.batch_seeds import batch_seed
from photomaker_core.training.loop_settings import LoopSettings
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.stage import Figures
from photomaker_core.training.trainer import TrainingError
from photomaker_core.training.trainer import train as run_training


class Slope:
    """A stage that fits one number; its loss is not finite in the steps ``bad``."""

    def __init__(self, bad: frozenset[int] = frozenset()) -> None:
        self.weight = torch.nn.Parameter(torch.tensor([3.0]))
        self.bad, self.calls, self.exported = bad, 0, torch.empty(0)

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup([self.weight], 0.1)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        x = torch.randn(batch_size, generator=generator)
        loss = (self.weight * x - x).square().mean()
        self.calls += 1
        return loss * (float("nan") if self.calls in self.bad else 1.0), {"x": x.mean()}

    def sample(self, path: Path) -> None:
        path.touch()

    def export(self, folder: Path) -> None:
        self.exported = self.weight.detach().clone()


def loop(**changes: Any) -> LoopSettings:
    return LoopSettings(
        **{"steps": 12, "batch_size": 4, "warmup_steps": 2, "log_every": 2, "sample_every": 0} | changes
    )


def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, cut, resumed = Slope(), Slope(bad=frozenset({9, 10})), Slope()
    run_training(whole, loop(checkpoint_every=4), tmp_path / "whole")
    with pytest.raises(TrainingError):
        run_training(cut, loop(checkpoint_every=4, most_skipped=1), tmp_path / "cut")
    run_training(resumed, loop(checkpoint_every=4), tmp_path / "cut")
    assert resumed.calls == 12 - 8
    torch.testing.assert_close(resumed.weight, whole.weight)
    torch.testing.assert_close(resumed.exported, whole.exported)
    rows = (tmp_path / "cut" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["2", "4", "6", "8", "10", "12"]


def test_a_step_without_finite_gradients_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    stage = Slope(bad=frozenset({3, 4}))
    run_training(stage, loop(steps=4), tmp_path / "some")
    other = Slope()
    run_training(other, loop(steps=2), tmp_path / "none")
    assert torch.isfinite(stage.weight).all()
    assert float((stage.weight - other.weight).detach().abs()) < 0.1
    assert (tmp_path / "some" / "log.csv").read_text().splitlines()[-1].split(",")[3] == "2"
    with pytest.raises(TrainingError, match="not finite"):
        run_training(Slope(bad=frozenset(range(1, 9))), loop(steps=8, log_every=4, most_skipped=2), tmp_path / "all")


def test_a_time_limit_ends_a_run_and_its_learning_rate(tmp_path: Path) -> None:
    settings = loop(steps=10**6, most_seconds=1.5, log_every=1)
    run_training(Slope(), settings, tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert 1 <= int(rows[-1]["step"]) < 10**6
    assert float(rows[-1]["learning_rate"]) < 0.02
    assert settings.progress(5, 0.75) == pytest.approx(0.5)


def test_no_two_batches_share_a_seed() -> None:
    seeds = {batch_seed(seed, step, number) for seed in range(3) for step in range(40) for number in range(250)}
    assert len(seeds) == 3 * 40 * 250
