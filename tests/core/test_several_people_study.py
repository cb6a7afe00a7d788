"""The study of several people in one picture: its groups, what it judges, and that it goes on where it was stopped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from photomaker_core.cli import main as core_cli
from photomaker_core.errors import UserError
from photomaker_core.evaluation.networks import MetricNetworks, portrait_networks
from photomaker_core.evaluation.people import drawn_people
from photomaker_core.evaluation.several_people import ROWS, GroupPicture, group_pictures, group_table, run_group_study
from photomaker_core.evaluation.study_log import StudyLog
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE
from photomaker_core.sampling.generation import GenerationSettings

SETTINGS = GenerationSettings(128, 128, steps=2)


@pytest.fixture(scope="module")
def nano() -> PhotoMaker:
    return load_photomaker(str(NANO_BASE), NANO_ADAPTER)


@pytest.mark.parametrize("each", [2, 3])
def test_every_row_draws_the_same_groups_and_everybody_as_often(each: int) -> None:
    pictures = group_pictures(20, each, 60)
    by_row = {row: [(one.group, one.place, one.seed) for one in pictures if one.row == row] for row in ROWS}
    groups = by_row["real drawings"]
    assert all(drawn == groups for drawn in by_row.values())
    assert all(len(set(group)) == each for group, _, _ in groups)
    counts = Counter(person for group, _, _ in groups for person in group)
    assert len(counts) == 20
    assert max(counts.values()) - min(counts.values()) <= 60 * each // 20


@pytest.mark.parametrize("each", [2, 3])
def test_the_judge_finds_real_people_in_their_places(each: int, nano: PhotoMaker, tmp_path: Path) -> None:
    people = drawn_people(8, 2)
    pictures = [one for one in group_pictures(8, each, 16) if one.row == "real drawings"]
    log = StudyLog(tmp_path / "study.jsonl", {})
    run_group_study(nano, SETTINGS, people, portrait_networks(), pictures, log)
    right = [log[one.name]["ranks"][place][place] == 0 for one in pictures for place in range(each)]
    wrong = [log[one.name]["ranks"][place][(place + 1) % each] == 0 for one in pictures for place in range(each)]
    assert sum(right) >= 0.9 * len(right)
    assert sum(wrong) <= 0.1 * len(wrong)


def test_a_study_that_was_stopped_draws_the_rest_alone(nano: PhotoMaker, tmp_path: Path) -> None:
    people, networks = drawn_people(4, 1), portrait_networks()
    pictures = [one for one in group_pictures(4, 2, 2) if one.row != "a blend of them in every place"]
    log = StudyLog(tmp_path / "study.jsonl", {"steps": 2})
    seen: list[str] = []
    run_group_study(nano, SETTINGS, people, networks, pictures[:3], log, lambda one, drawn: seen.append(one.name))
    again = StudyLog(tmp_path / "study.jsonl", {"steps": 2})
    run_group_study(nano, SETTINGS, people, networks, pictures, again, lambda one, drawn: seen.append(one.name))
    assert sorted(seen) == sorted(one.name for one in pictures)
    assert all("by_attention" in again[one.name] for one in pictures if one.row.startswith("regions by attention"))
    assert not any("by_attention" in again[one.name] for one in pictures if one.row == "layout side by side")


def test_the_table_counts_places_and_people(tmp_path: Path) -> None:
    pictures = [GroupPicture("row", (0, 1), "beach", seed) for seed in range(4)]
    ranks = {0: [[0, 3], [2, 0]], 1: [[4, 0], [0, 5]], 2: [[0, 1], [1, 1]], 3: [[6, 7], [8, 9]]}
    log = StudyLog(tmp_path / "study.jsonl", {})
    log.add({one.name: {"ranks": ranks[one.seed], "by_attention": one.seed < 3} for one in pictures})
    _, _, row = group_table(pictures, log).splitlines()
    assert row == "| row | 4 | 25 % (5–70) | 38 % (14–69) | 50 % (15–85) | 3 of 4 |"


def test_mistakes_are_told(nano: PhotoMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = StudyLog(tmp_path / "study.jsonl", {})
    with pytest.raises(UserError, match="needs a face network"):
        run_group_study(nano, SETTINGS, drawn_people(2, 1), MetricNetworks(), group_pictures(2, 2, 1), log)
    arguments = ["--together", "1", "--people-each", "3", "--drawn", "2", "--out", str(tmp_path / "out")]
    assert core_cli.main(["evaluate", *arguments]) == 2
    assert "3 people in a picture need at least 3" in capsys.readouterr().err
