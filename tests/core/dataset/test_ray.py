"""The same stages on Ray Data; skipped where the extra ``ray`` is not installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from photomaker_core.dataset.dataset_config import DatasetConfig, NetworkChoice, SourceConfig
from photomaker_core.dataset.engines import BatchTask, run_tasks
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.tables import Table
from tests.core.dataset.builders import marked_rows

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_gives_the_bytes_that_one_process_gives(tmp_path: Path, workers: int) -> None:
    source = Table(tmp_path / "source")
    source.begin("a")
    rows = [replace(row, crop=None) for row in marked_rows(PictureStore(tmp_path / "pictures"), 3, 2)]
    for index in range(3):
        source.write(index, rows[2 * index : 2 * index + 2])
    local = DatasetConfig(tmp_path, SourceConfig(folder="x"), NetworkChoice("drawn"), NetworkChoice("drawn"))
    tables = {}
    for config in (local, replace(local, engine="ray", workers=workers)):
        tables[config.engine] = Table(tmp_path / config.engine)
        tables[config.engine].begin("b")
        tasks = [BatchTask(config, "crop", source, tables[config.engine], index) for index in range(3)]
        assert sum(run_tasks(tasks, config)) == len(rows)
    ray.shutdown()
    for index in range(3):
        assert tables["ray"].path(index).read_bytes() == tables["local"].path(index).read_bytes()
