"""The first stage: every candidate of the source becomes a row, its picture lies in the store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from photomaker_core.dataset.dataset_config import DatasetConfig, SourceConfig
from photomaker_core.dataset.fetch.candidate import NAME, Candidate, RefusedError, taken
from photomaker_core.dataset.fetch.download import Downloader, downloader
from photomaker_core.dataset.fetch.sources import FolderSource, TarSource, UrlListSource
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.tables import Table


def fetch(config: DatasetConfig, store: PictureStore, table: Table, on_batch: Callable[[int, bool], None]) -> None:
    """Fill ``table`` from the source, a batch at a time; ``on_batch`` is told each one's rows and whether it is new."""
    candidates = _candidates(config.source, config.rules.max_bytes)
    count = 0
    while True:
        next_ones = itertools.islice(candidates, config.batch_rows)
        is_new = not table.has(count)
        if not is_new:
            rows = sum(1 for _ in next_ones)
        else:
            batch = _rows(next_ones, config, store)
            rows = len(batch)
            if batch:
                table.write(count, batch)
        if not rows:
            break
        on_batch(rows, is_new)
        count += 1
    table.finish(count)


def _candidates(source: SourceConfig, max_bytes: int) -> Iterator[Candidate]:
    if source.folder is not None:
        return FolderSource(Path(source.folder), source.licence, max_bytes).candidates()
    if source.urls is not None:
        return UrlListSource(Path(source.urls), source.licence).candidates()
    return TarSource([Path(one) for one in source.tars], source.licence, max_bytes).candidates()


def _rows(candidates: Iterator[Candidate], config: DatasetConfig, store: PictureStore) -> list[PictureRow]:
    if config.source.urls is not None:
        return asyncio.run(_downloaded(list(candidates), config, store))
    rows: list[PictureRow] = []
    with ThreadPoolExecutor(config.workers) as pool:
        while some := list(itertools.islice(candidates, 2 * config.workers)):
            rows += pool.map(lambda candidate: _read(candidate, config, store), some)
    return rows


def _read(candidate: Candidate, config: DatasetConfig, store: PictureStore) -> PictureRow:
    if candidate.refused:
        return _row(candidate, b"", candidate.refused, config, store)
    try:
        content = candidate.path.read_bytes() if candidate.path is not None else candidate.content or b""
    except OSError as error:
        return _row(candidate, b"", f"cannot be read ({error.strerror})", config, store)
    return _row(candidate, content, "", config, store)


async def _downloaded(batch: list[Candidate], config: DatasetConfig, store: PictureStore) -> list[PictureRow]:
    async with downloader(config.download, config.rules.max_bytes) as client:
        return await asyncio.gather(*(_download(client, one, config, store) for one in batch))


async def _download(client: Downloader, candidate: Candidate, config: DatasetConfig, store: PictureStore) -> PictureRow:
    try:
        content = await client.fetch(candidate.source)
    except RefusedError as error:
        return _row(candidate, b"", str(error), config, store)
    return await asyncio.to_thread(_row, candidate, content, "", config, store)


def _row(candidate: Candidate, content: bytes, refused: str, config: DatasetConfig, store: PictureStore) -> PictureRow:
    if refused:
        row = PictureRow(person=candidate.person, source=candidate.source, licence=candidate.licence)
        return row.drop(NAME, refused)
    return taken(candidate, content, store, config.rules.max_bytes, config.rules.min_side_px)
