"""Batches in several processes."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from photomaker_core.dataset.dataset_config import DatasetConfig, NetworkChoice, SourceConfig
from photomaker_core.dataset.engines import BatchTask, run_tasks
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.tables import Table
from photomaker_core.errors import UserError
from tests.core.dataset.builders import marked_rows


def test_a_process_that_was_killed_costs_a_sentence_and_nothing_that_was_done(tmp_path: Path) -> None:
    source, destination = Table(tmp_path / "source"), Table(tmp_path / "crop")
    source.begin("a")
    destination.begin("b")
    rows = [replace(row, crop=None) for row in marked_rows(PictureStore(tmp_path / "pictures"), 3, 2)]
    for index in range(400):
        source.write(index, rows[:2])
    choice = NetworkChoice("drawn")
    config = DatasetConfig(tmp_path, SourceConfig(folder="x"), choice, choice, workers=2)
    done = run_tasks([BatchTask(config, "crop", source, destination, index) for index in range(400)], config)
    assert next(done) == 2
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(UserError, match="run the same command again"):
        list(done)
    assert any(destination.has(index) for index in range(400))
