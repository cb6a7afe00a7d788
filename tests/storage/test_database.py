"""Tests of the database: pragmas, migrations, errors."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from storage import Database, IdentityStore, NewPhoto, StorageError
from storage.database import sqlite_engine
from tests.support.database import ADA, PHOTOS, rows, url


async def test_sqlite_keeps_what_it_promised(database: Database) -> None:
    async with database.transaction() as session:
        found = {
            name: (await session.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "secure_delete")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "secure_delete": 1}


async def test_the_migrations_make_the_tables_of_the_models(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from storage.models import Base

    async with database.transaction() as session:
        connection = await session.connection()
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Base.metadata)
        )
    assert difference == []


async def test_closing_lets_transactions_end_and_begins_no_new_ones(file: Path) -> None:
    database = await Database.open(url(file))
    identities = IdentityStore(database)
    async with database.transaction() as session:
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        with pytest.raises(StorageError, match="stopping"):
            await identities.names(ADA)
        await session.execute(text("INSERT INTO users VALUES (33, '2026-01-01')"))
    await closing
    assert rows(file, "SELECT id FROM users") == [(33,)]


async def test_a_full_disk_stores_nothing_and_says_so(
    identities: IdentityStore, database: Database, file: Path
) -> None:
    await identities.add(ADA, "newton", PHOTOS, "mine")
    async with database.transaction() as session:
        pages = (await session.execute(text("PRAGMA page_count"))).scalar_one()
        await session.execute(text(f"PRAGMA max_page_count={pages + 2}"))
    with pytest.raises(StorageError, match="disk is full, so nothing was stored"):
        await identities.add(ADA, "lenna", [NewPhoto(bytes(500_000))], "mine")
    assert await identities.names(ADA) == ["newton"]
    assert rows(file, "SELECT count(*) FROM id_photos") == [(2,)]


async def test_a_read_only_folder_is_explained(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, sys\n"
        "from storage import Database\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        f"asyncio.run(Database.open({url(tmp_path / 'locked' / 'bot.db')!r}))\n"
    )
    (tmp_path / "locked").mkdir(mode=0o555)
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "cannot be written to" in done.stderr
    assert "Make it writable for the bot, or set DATABASE_URL" in done.stderr


async def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written to"):
        await Database.open(url(tmp_path / "file" / "bot.db"))


async def test_a_file_that_is_no_database_is_explained(file: Path) -> None:
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match="damaged"):
        await Database.open(url(file))


async def test_an_unusable_url_is_explained() -> None:
    for address in ("no url", "mongodb://host/bot"):
        with pytest.raises(StorageError, match="DATABASE_URL is not usable"):
            await Database.open(address)


async def test_a_url_without_an_asynchronous_driver_is_explained(file: Path) -> None:
    with pytest.raises(StorageError, match=r"begins with sqlite\+aiosqlite:///"):
        await Database.open(f"sqlite:///{file}")


async def test_a_server_that_cannot_be_reached_is_explained() -> None:
    pytest.importorskip("asyncpg")
    with pytest.raises(StorageError, match="The database cannot be reached"):
        await Database.open("postgresql+asyncpg://postgres@127.0.0.1:1/bot")


async def test_a_busy_database_is_waited_for(identities: IdentityStore, file: Path) -> None:
    other = sqlite3.connect(file, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    adding = asyncio.create_task(identities.add(ADA, "newton", PHOTOS, "mine"))
    await asyncio.sleep(0.3)
    assert not adding.done()
    other.rollback()
    other.close()
    assert (await adding).name == "newton"


async def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    async def connect(path: Path) -> None:
        engine = sqlite_engine(make_url(url(path)))
        async with engine.connect():
            pass
        await engine.dispose()

    for number in range(100):
        path = tmp_path / f"{number}.db"
        await asyncio.gather(*(connect(path) for _ in range(8)))
