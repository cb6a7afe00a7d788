"""Runs the stages of a dataset one after the other, or one alone, going on where an earlier run stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from photomaker_core.dataset.dataset_card import write_card
from photomaker_core.dataset.dataset_config import DatasetConfig
from photomaker_core.dataset.engines import BatchTask, run_tasks
from photomaker_core.dataset.fetch.fetch_stage import fetch
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.report.report_page import write_report
from photomaker_core.dataset.shard_index import write_index
from photomaker_core.dataset.stage_factory import SHARDS_FOLDER, STAGES, picture_store, settings_of
from photomaker_core.dataset.tables import Table, group_by_person
from photomaker_core.errors import UserError

REPORT: Final = "report"
ALL_STAGES: Final = (*STAGES, REPORT)
_GROUPED: Final = "grouped"
_TIMINGS_FILE: Final = "timings.json"
_TABLES_FOLDER: Final = "tables"


class Progress(Protocol):
    """An observer of a run."""

    def begin(self, stage: str, total: int | None, done: int) -> None:
        """A stage starts, with ``done`` of ``total`` pictures already there; ``None``: nobody knows how many come."""

    def advance(self, pictures: int) -> None: ...

    def end(self) -> None: ...


def run(config: DatasetConfig, progress: Progress, stages: Sequence[str] = ALL_STAGES) -> None:
    """Run ``stages`` in their order. Raises :class:`UserError` when what the first needs is not there yet."""
    for name in ALL_STAGES:
        if name in stages:
            run_stage(config, name, progress)


def run_stage(config: DatasetConfig, name: str, progress: Progress) -> None:
    """Bring one stage to its end; what is there already is kept."""
    if name == REPORT:
        _report(config)
        return
    started = time.monotonic()
    table = table_of(config, name)
    treated = _fetch(config, table, progress) if name == STAGES[0] else _run_batches(config, name, table, progress)
    progress.end()
    if name == "pack":
        write_index(table, config.folder / SHARDS_FOLDER)
        write_card(config, table, config.folder / SHARDS_FOLDER)
    _note_time(config.folder, name, treated, time.monotonic() - started)


def table_of(config: DatasetConfig, stage: str) -> Table:
    """The table that holds a stage's rows."""
    return Table(config.folder / _TABLES_FOLDER / stage)


def timings(folder: Path) -> dict[str, dict[str, float]]:
    """``pictures`` and ``seconds`` of each stage so far, all runs together."""
    path = folder / _TIMINGS_FILE
    read: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    return read


def _fetch(config: DatasetConfig, table: Table, progress: Progress) -> int:
    table.begin(_fingerprint(config, "fetch", ""))
    store = picture_store(config)
    _sweep(store)
    progress.begin("fetch", None, 0)
    fresh = 0

    def on_batch(rows: int, is_new: bool) -> None:
        nonlocal fresh
        fresh += rows if is_new else 0
        progress.advance(rows)

    if table.batch_count is None:
        fetch(config, store, table, on_batch)
    return fresh


def _run_batches(config: DatasetConfig, name: str, table: Table, progress: Progress) -> int:
    before = STAGES[STAGES.index(name) - 1]
    source = table_of(config, before)
    if source.batch_count is None:
        raise UserError(f"The stage {before} has to be run to its end before {name}.")
    if name == "verify":
        source = _grouped(config, source)
    table.begin(_fingerprint(config, name, source.fingerprint))
    count = source.batch_count or 0
    missing = [index for index in range(count) if not table.has(index)]
    rows = [source.row_count(index) for index in range(count)]
    progress.begin(name, sum(rows), sum(rows) - sum(rows[index] for index in missing))
    treated = 0
    for done in run_tasks([BatchTask(config, name, source, table, index) for index in missing], config):
        treated += done
        progress.advance(done)
    table.finish(count)
    return treated


def _grouped(config: DatasetConfig, source: Table) -> Table:
    grouped = table_of(config, _GROUPED)
    grouped.begin(_fingerprint(config, _GROUPED, source.fingerprint))
    if grouped.batch_count is None:
        group_by_person(source, grouped, config.batch_rows)
    return grouped


def _fingerprint(config: DatasetConfig, name: str, before: str) -> str:
    made_of = json.dumps([name, settings_of(name, config), before], sort_keys=True)
    return hashlib.sha256(made_of.encode()).hexdigest()


def _report(config: DatasetConfig) -> None:
    reached = [name for name in STAGES if table_of(config, name).batch_count is not None]
    if not reached:
        raise UserError(f"There is nothing in {config.folder} to report on yet.")
    write_report(config, table_of(config, reached[-1]), reached, timings(config.folder))


def _sweep(store: PictureStore) -> None:
    """Remove what a killed run left half written."""
    for path in store.folder.glob("*/*.partial"):
        path.unlink()


def _note_time(folder: Path, stage: str, pictures: int, seconds: float) -> None:
    if not pictures:
        return
    noted = timings(folder)
    before = noted.get(stage, {"pictures": 0, "seconds": 0.0})
    noted[stage] = {"pictures": before["pictures"] + pictures, "seconds": before["seconds"] + seconds}
    partial = folder / f"{_TIMINGS_FILE}.partial"
    partial.write_text(json.dumps(noted, indent=1))
    partial.replace(folder / _TIMINGS_FILE)
