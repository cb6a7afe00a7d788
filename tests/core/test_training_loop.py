"""The training loop on a stage of one number: resume, kills, full disks, precision, validation and logs."""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from photomaker_core.errors import UserError
from photomaker_core.training.batch_seeds import batch_seed
from photomaker_core.training.checkpoint import CheckpointError, completed_steps
from photomaker_core.training.durable_files import UnwrittenFileError
from photomaker_core.training.loop_settings import LoopSettings
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.stage import Figures, HeldOutLoss
from photomaker_core.training.trainer import TrainingError
from photomaker_core.training.trainer import train as run_training

EXPORTED = "weights.safetensors"


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


class Matrix(Slope):
    """A stage whose weights are multiplied, in half precision where the loop says so, and take 120 kB."""

    def __init__(self, bad: frozenset[int] = frozenset(), loudness: float = 1.0) -> None:
        super().__init__(bad)
        self.weight = torch.nn.Parameter(torch.full((30_000 // 4, 4), 0.5))
        self.loudness = loudness

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        drawn = torch.nn.functional.linear(torch.randn(1, 4, generator=generator), self.weight)
        self.calls += 1
        return drawn.float().square().mean() * (float("nan") if self.calls in self.bad else self.loudness), {}

    def export(self, folder: Path) -> None:
        save_file({"weight": self.weight.detach().clone()}, folder / EXPORTED)


def held_out_loss(stage: Slope) -> HeldOutLoss:
    return lambda count, generator: (stage.weight * torch.randn(count, generator=generator) - 1).square().mean()


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_snapshots_are_kept_by_number_and_hold_the_averaged_weights(tmp_path: Path) -> None:
    another_run = tmp_path / "snapshots" / "000099"
    another_run.mkdir(parents=True)
    stage = Matrix()
    run_training(stage, loop(steps=9, snapshot_every=2, keep_snapshots=2), tmp_path)
    kept = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    assert kept == ["000006", "000008", "000099"], "the last two, and what this run did not make"
    snapshot, export = (load_file(tmp_path / name / EXPORTED)["weight"] for name in ("snapshots/000008", "export"))
    assert not torch.equal(snapshot, export)
    assert not torch.equal(export, stage.weight), "training goes on with weights that are not averaged"
    shorter = Matrix()
    settings = loop(steps=9, snapshot_every=2)
    run_training(shorter, settings, tmp_path / "all")
    assert len(list((tmp_path / "all" / "snapshots").iterdir())) == 4
    assert torch.equal(load_file(tmp_path / "all" / "snapshots" / "000008" / EXPORTED)["weight"], snapshot)


@contextmanager
def disk_for_files_of(size: int) -> Iterator[None]:
    """Writing more than ``size`` bytes into a file fails, as it does when a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("every", [{"checkpoint_every": 4}, {"checkpoint_every": 4, "snapshot_every": 3}])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path, every: dict[str, int]) -> None:
    whole, cut = Matrix(), Matrix()
    settings = loop(**every)
    run_training(whole, settings, tmp_path / "whole")
    with pytest.raises(TrainingError):
        run_training(Matrix(bad=frozenset({5, 6})), replace(settings, most_skipped=1), tmp_path / "cut")
    content = (tmp_path / "cut" / "checkpoint.pt").read_bytes()
    with pytest.raises(UnwrittenFileError, match=r"[Ff]ile too large") as caught, disk_for_files_of(50_000):
        run_training(Matrix(), settings, tmp_path / "cut")
    assert "goes on from the last checkpoint" in str(caught.value)
    assert (tmp_path / "cut" / "checkpoint.pt").read_bytes() == content
    assert not list((tmp_path / "cut").rglob("*.partial*"))
    run_training(cut, settings, tmp_path / "cut")
    assert torch.equal(cut.weight, whole.weight)


def test_a_run_that_is_killed_again_and_again_leaves_what_an_unkilled_one_leaves(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.support.killed_training", str(tmp_path), "8"]
    ended = subprocess.run(program, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "True True []"


def test_what_a_killed_run_was_writing_is_removed(tmp_path: Path) -> None:
    run_training(Slope(), loop(steps=2, checkpoint_every=1, snapshot_every=1), tmp_path)
    leftovers = [
        tmp_path / "checkpoint.partial.pt", tmp_path / "checkpoint.partial", tmp_path / "sample-000002.partial.png",
        tmp_path / "export.partial" / "unet" / "weights", tmp_path / "snapshots" / "000003.partial" / "weights",
    ]  # fmt: skip
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    run_training(Slope(), loop(steps=2), tmp_path)
    assert not list(tmp_path.rglob("*.partial*"))


def test_a_checkpoint_that_does_not_fit_is_answered_with_one_sentence(tmp_path: Path) -> None:
    run_training(Slope(), loop(steps=2), tmp_path)
    with pytest.raises(CheckpointError, match="other trained layers"):
        run_training(Matrix(), loop(steps=4), tmp_path)
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read"):
            run_training(Slope(), loop(steps=4), tmp_path)
        with pytest.raises(CheckpointError, match="cannot be read"):
            completed_steps(tmp_path)


def test_a_row_that_was_cut_off_is_dropped_from_the_log(tmp_path: Path) -> None:
    run_training(Slope(), loop(steps=4), tmp_path)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("1,0.3")
    run_training(Slope(), loop(steps=6), tmp_path)
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["2", "4", "6"]


def test_the_loss_on_held_out_pictures_is_the_same_for_the_same_weights(tmp_path: Path) -> None:
    whole, cut = Slope(), Slope(bad=frozenset({8}))
    settings = loop(validate_every=3, validation_batches=4, checkpoint_every=2, log_every=1, most_skipped=0)
    with pytest.raises(TrainingError):
        run_training(cut, settings, tmp_path / "cut", held_out_loss(cut))
    for stage, name in ((whole, "whole"), (Slope(), "cut")):
        run_training(stage, settings, tmp_path / name, held_out_loss(stage))
    log = rows(tmp_path / "whole" / "validation.csv")
    assert [row["step"] for row in log] == ["3", "6", "9", "12"]
    assert float(log[-1]["loss"]) < float(log[0]["loss"])
    assert rows(tmp_path / "cut" / "validation.csv") == log
    seeds: list[int] = []

    def watched(count: int, generator: torch.Generator) -> torch.Tensor:
        seeds.append(generator.initial_seed())
        return whole.weight.sum()

    run_training(Slope(), loop(steps=6, validate_every=3, validation_batches=2, seed=5), tmp_path / "seeds", watched)
    assert seeds[:2] == seeds[2:], "the same noise every time"
    assert len(set(seeds)) == 2


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_one_bad_micro_step_of_two_hundred_spoils_its_step_alone(tmp_path: Path, precision: str) -> None:
    settings = loop(steps=4, gradient_accumulation=200, mixed_precision=precision, log_every=1, batch_size=1)
    seeds: list[int] = []

    class Watched(Slope):
        def loss(self, batch_size: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
            seeds.append(generator.initial_seed())
            return super().loss(batch_size, generator)

    stage = Watched(bad=frozenset({200 + 77}))
    run_training(stage, settings, tmp_path)
    log = rows(tmp_path / "log.csv")
    assert [row["skipped"] for row in log] == ["0", "1", "0", "0"]
    assert [row.get("overflows", "0") for row in log] == ["0"] * 4, "the loss is at fault, not its scale"
    assert torch.isfinite(stage.weight).all()
    assert float(log[3]["loss"]) < float(log[0]["loss"])
    assert len(set(seeds)) == 800


def test_a_loss_scale_that_is_too_large_is_halved_and_counted_apart(tmp_path: Path) -> None:
    settings = loop(steps=14, mixed_precision="fp16", log_every=1, most_skipped=0, checkpoint_every=7)
    stage = Matrix(loudness=3e4)
    run_training(stage, settings, tmp_path / "whole")
    log = rows(tmp_path / "whole" / "log.csv")
    overflows = [int(row["overflows"]) for row in log]
    assert 1 <= sum(overflows) <= 6
    assert all(row["skipped"] == "0" for row in log)
    assert float(log[-1]["loss_scale"]) == 65536 / 2 ** sum(overflows)
    assert torch.isfinite(stage.weight).all()
    assert (stage.weight - 0.5).abs().max() > 0.01
    resumed = Matrix(loudness=3e4)
    with pytest.raises(TrainingError):
        run_training(Matrix(bad=frozenset({9}), loudness=3e4), settings, tmp_path / "cut")
    run_training(resumed, settings, tmp_path / "cut")
    assert rows(tmp_path / "cut" / "log.csv") == log, "the scale goes on where it was"
    assert torch.equal(resumed.weight, stage.weight)


def test_gradients_that_no_loss_scale_mends_end_the_run(tmp_path: Path) -> None:
    class Torn(Matrix):
        def loss(self, batch_size: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
            loss, figures = super().loss(batch_size, generator)
            return loss + (self.weight * 0).abs().sum().sqrt(), figures

    with pytest.raises(TrainingError, match="not finite"):
        run_training(Torn(), loop(steps=40, mixed_precision="fp16", log_every=5, most_skipped=3), tmp_path)
    log = rows(tmp_path / "log.csv")
    assert sum(int(row["overflows"]) for row in log) == 16, "the scale is halved until there is none"


def test_gradients_are_the_same_with_and_without_a_loss_scale(tmp_path: Path) -> None:
    norms = []
    for precision in ("no", "fp16"):
        settings = loop(steps=3, mixed_precision=precision, gradient_accumulation=3, log_every=1)
        run_training(Slope(), settings, tmp_path / precision)
        norms.append([float(row["gradient_norm"]) for row in rows(tmp_path / precision / "log.csv")])
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra train")
def test_tensorboard_shows_what_the_log_has(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Painter(Slope):
        def sample(self, path: Path) -> None:
            Image.new("RGB", (8, 8), (200, 0, 0)).save(path)

    for steps in (4, 6):
        stage = Painter()
        settings = loop(
            steps=steps, tensorboard=True, sample_every=2, validate_every=2, schedule="constant_with_warmup"
        )
        run_training(stage, settings, tmp_path, lambda count, _, stage=stage: stage.weight.sum())
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    names = {f"training/{name}" for name in ("loss", "gradient_norm", "learning_rate", "skipped", "x")}
    assert names | {"validation/loss"} == set(board.Tags()["scalars"])
    for name in ("training/loss", "validation/loss"):
        assert [event.step for event in board.Scalars(name)] == [2, 4, 6]
    losses = [float(row["loss"]) for row in rows(tmp_path / "log.csv")]
    assert [event.value for event in board.Scalars("training/loss")] == pytest.approx(losses)
    assert [event.step for event in board.Images("sample")] == [2, 4, 6]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"mixed_precision": "fp8"}, "loop.mixed_precision is 'fp8'; it must be one of no, bf16, fp16."),
        ({"optimizer": "sgd"}, "loop.optimizer is 'sgd'; it must be one of adamw, adamw8bit."),
        ({"keep_snapshots": -1}, "loop.keep_snapshots is -1; it must be at least 0."),
        ({"log_every": 0}, "loop.log_every is 0; it must be at least 1."),
    ],
)
def test_a_wrong_setting_is_answered_with_one_sentence(setting: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        loop(**setting)
    assert str(caught.value) == sentence
