"""One bot a database: the second says so, and what was killed stands in nobody's way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

import storage.database
from storage import Database, DatabaseInUseError
from tests.support.database import url

_POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL")

_OWNER = """
import asyncio, sys
from storage import Database
async def own():
    await Database.open(sys.argv[1], exclusive=True)
    print("owned", flush=True)
    await asyncio.sleep(600)
asyncio.run(own())
"""


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.skipif(not _POSTGRESQL, reason="TEST_POSTGRESQL_URL is not set")),
    ]
)
def address(request: pytest.FixtureRequest, file: Path) -> str:
    return url(file) if request.param == "sqlite" else str(_POSTGRESQL)


@pytest.fixture
async def owner(address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that owns the database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWNER, address, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"owned\n"
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_a_second_bot_is_refused_with_a_sentence(address: str, owner: asyncio.subprocess.Process) -> None:
    with pytest.raises(DatabaseInUseError, match=r"Another bot is running with the database .* Stop that one first"):
        await Database.open(address, exclusive=True)
    assert owner.returncode is None


async def test_others_may_look(address: str, owner: asyncio.subprocess.Process) -> None:
    looking = await Database.open(address)
    async with looking.reading() as session:
        tables = (await session.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one()
    await looking.close()
    assert tables == 1
    assert owner.returncode is None


async def test_a_killed_owner_is_in_nobodys_way(address: str, owner: asyncio.subprocess.Process) -> None:
    owner.send_signal(signal.SIGKILL)
    await owner.wait()
    for _ in range(50):
        try:
            database = await Database.open(address, exclusive=True)
            break
        except DatabaseInUseError:  # PostgreSQL notices a moment later
            await asyncio.sleep(0.1)
    await database.close()


async def test_a_closed_database_has_no_owner(address: str) -> None:
    for _ in range(3):
        database = await Database.open(address, exclusive=True)
        with pytest.raises(DatabaseInUseError):
            await Database.open(address, exclusive=True)
        await database.close()


async def test_a_database_in_memory_needs_no_lock() -> None:
    database = await Database.open("sqlite+aiosqlite://", exclusive=True)
    await database.close()


async def test_the_tables_do_not_change_under_a_bot_that_is_running(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.database, "_MIGRATION_PATIENCE_S", 0.2)
    running = await Database.open(url(file), exclusive=True)
    async with running.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    with pytest.raises(DatabaseInUseError):
        await Database.open(url(file))
    await running.close()
