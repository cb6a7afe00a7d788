"""The parquet files beside the shards: ``index.parquet`` of the packed pictures, ``dropped.parquet`` of all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stages.pack import person_key
from photomaker_core.dataset.tables import Table

INDEX_FILE: Final = "index.parquet"
DROPPED_FILE: Final = "dropped.parquet"
_INDEX: Final = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        ("person_key", pa.string()),
        ("person", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("picture", pa.string()),
        ("side_px", pa.int32()),
        ("class_word", pa.string()),
        ("caption", pa.string()),
        ("distance", pa.float32()),
        ("mask_overlap", pa.float32()),
    ]
)
_DROPPED: Final = pa.schema(
    [(name, pa.string()) for name in ("person", "source", "licence", "picture", "dropped_by", "reason")]
)


def write_index(packed: Table, folder: Path) -> None:
    """Write both files from the pack stage's table, a batch at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in (INDEX_FILE, DROPPED_FILE)]
    partials = [path.with_suffix(".partial") for path in paths]
    with pq.ParquetWriter(partials[0], _INDEX) as kept, pq.ParquetWriter(partials[1], _DROPPED) as dropped:
        for index in range(packed.batch_count or 0):
            rows = packed.read(index)
            kept.write_table(_table([_indexed(row) for row in rows if row.is_kept], _INDEX))
            dropped.write_table(_table([_gone(row) for row in rows if not row.is_kept], _DROPPED))
    for partial, path in zip(partials, paths, strict=True):
        partial.replace(path)


def _indexed(row: PictureRow) -> dict[str, Any]:
    return {
        "key": row.key,
        "shard": row.shard,
        "person_key": person_key(row.person),
        "person": row.person,
        "source": row.source,
        "licence": row.licence,
        "picture": row.picture,
        "side_px": row.crop[2] - row.crop[0] if row.crop is not None else None,
        "class_word": row.group_word,
        "caption": row.caption,
        "distance": row.distance,
        "mask_overlap": row.mask_overlap,
    }


def _gone(row: PictureRow) -> dict[str, str]:
    return {name: getattr(row, name) for name in _DROPPED.names}


def _table(records: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(records, schema=schema)
