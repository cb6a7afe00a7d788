"""Tables of picture rows as folders of parquet files, one a batch, each written whole or not at all.

A batch that is there is never written again, so a run that was killed goes on where it stopped. Called by the pipeline.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from photomaker_core.dataset.rows import SCHEMA, PictureRow, from_arrow, to_arrow
from photomaker_core.errors import UserError

_STATE_FILE: Final = "table.json"
_FAN_IN: Final = 16
_CHUNK_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class Table:
    """The table in ``folder``; batch ``i`` is ``{i:06d}.parquet``."""

    folder: Path

    def begin(self, fingerprint: str) -> None:
        """Make the folder, or go on with it; raises :class:`UserError` when it was made with other settings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made_with = self._state().get("fingerprint", fingerprint)
        if made_with != fingerprint:
            raise UserError(
                f"{self.folder} was made with other settings or from another table. Delete it, and what follows it, "
                "to make it anew, or give the configuration another folder."
            )
        if not self._state():
            self._write_state({"fingerprint": fingerprint, "batches": None})

    def finish(self, batches: int) -> None:
        """Note that these are all."""
        self._write_state({**self._state(), "batches": batches})

    @property
    def fingerprint(self) -> str:
        """The fingerprint that :meth:`begin` was given."""
        return str(self._state().get("fingerprint", ""))

    @property
    def batch_count(self) -> int | None:
        """The number of batches in the finished table; ``None`` while it is being made."""
        count = self._state().get("batches")
        return None if count is None else int(count)

    def path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.parquet"

    def has(self, index: int) -> bool:
        return self.path(index).exists()

    def row_count(self, index: int) -> int:
        """From the file's footer alone."""
        return int(pq.read_metadata(self.path(index)).num_rows)

    def read(self, index: int) -> list[PictureRow]:
        return from_arrow(pq.read_table(self.path(index)).to_pylist())

    def write(self, index: int, rows: Sequence[PictureRow]) -> None:
        write_parquet(self.path(index), to_arrow(rows))

    def rows(self) -> Iterator[PictureRow]:
        """All rows, a batch at a time in memory."""
        for index in range(self.batch_count or 0):
            yield from self.read(index)

    def _state(self) -> dict[str, Any]:
        path = self.folder / _STATE_FILE
        state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return state

    def _write_state(self, state: dict[str, Any]) -> None:
        partial = self.folder / f"{_STATE_FILE}.partial"
        partial.write_text(json.dumps(state))
        partial.replace(self.folder / _STATE_FILE)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write the file whole or not at all; equal tables give equal bytes."""
    partial = path.with_suffix(".partial")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)


def group_by_person(source: Table, destination: Table, batch_rows: int) -> None:
    """Rewrite a finished table ordered by person and source, whole groups to a batch of at least ``batch_rows`` rows.

    An external merge sort: sorted runs of one batch each, merged :data:`_FAN_IN` at a time. Memory holds a few rows of
    each run, and the largest group.
    """
    runs = destination.folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    level = [runs / f"0-{index:06d}.parquet" for index in range(source.batch_count or 0)]
    for index, path in enumerate(level):
        if not path.exists():
            write_parquet(path, to_arrow(sorted(source.read(index), key=_order)))
    depth = 0
    while len(level) > _FAN_IN:
        depth += 1
        merged = []
        for number, start in enumerate(range(0, len(level), _FAN_IN)):
            path = runs / f"{depth}-{number:06d}.parquet"
            if not path.exists():
                _write_run(path, _merged(level[start : start + _FAN_IN]))
            merged.append(path)
        level = merged
    count = 0
    for batch in _whole_groups(_merged(level), batch_rows):
        if not destination.has(count):
            destination.write(count, batch)
        count += 1
    destination.finish(count)
    for path in runs.iterdir():
        path.unlink()
    runs.rmdir()


def _order(row: PictureRow) -> tuple[str, str, str]:
    return row.person, row.source, row.picture


def _merged(runs: Sequence[Path]) -> Iterator[PictureRow]:
    return heapq.merge(*(_streamed(path) for path in runs), key=_order)


def _streamed(path: Path) -> Iterator[PictureRow]:
    with pq.ParquetFile(path) as file:
        for chunk in file.iter_batches(batch_size=_CHUNK_ROWS):
            yield from from_arrow(chunk.to_pylist())


def _write_run(path: Path, rows: Iterator[PictureRow]) -> None:
    partial = path.with_suffix(".partial")
    with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        chunk: list[PictureRow] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) == _CHUNK_ROWS:
                writer.write_table(to_arrow(chunk))
                chunk = []
        writer.write_table(to_arrow(chunk))
    partial.replace(path)


def _whole_groups(rows: Iterator[PictureRow], batch_rows: int) -> Iterator[list[PictureRow]]:
    batch: list[PictureRow] = []
    for _, group in groupby(rows, key=lambda row: row.person):
        batch.extend(group)
        if len(batch) >= batch_rows:
            yield batch
            batch = []
    if batch:
        yield batch
