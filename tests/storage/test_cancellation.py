"""A task that is cut off anywhere in a transaction leaves neither a lock nor half of what it wrote."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from storage import Database, IdentityStore
from tests.support.database import ADA, PHOTOS, rows

_MOST_CALLS = 100


async def test_a_writer_that_is_cut_off_at_any_call_of_the_driver_leaves_no_lock(
    database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, cut_off_at = 0, 0
    execute = aiosqlite.Connection._execute

    async def counted(connection: aiosqlite.Connection, *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == cut_off_at:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
        return await execute(connection, *arguments, **options)

    outcomes = []  # their tracebacks keep what the tasks held alive
    with monkeypatch.context() as counting:
        counting.setattr(aiosqlite.Connection, "_execute", counted)
        for cut_off_at in range(1, _MOST_CALLS):
            calls = 0
            adding = asyncio.create_task(IdentityStore(database).add(ADA, f"{cut_off_at}", PHOTOS, "mine"))
            outcomes += await asyncio.gather(adding, return_exceptions=True)
            if calls < cut_off_at:
                break
            assert isinstance(outcomes[-1], asyncio.CancelledError)
            await asyncio.to_thread(_write_from_elsewhere, file)
    assert 20 < cut_off_at < _MOST_CALLS - 1
    assert set(rows(file, "SELECT count(*) FROM id_photos GROUP BY identity_id")) == {(len(PHOTOS),)}


def _write_from_elsewhere(file: Path) -> None:
    connection = sqlite3.connect(file, timeout=2)
    connection.execute("BEGIN IMMEDIATE")
    connection.rollback()
    connection.close()
