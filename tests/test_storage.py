"""Storage on real SQLite files."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import Database, IdentityStore, JobStore, NewJob, NewPhoto, NewResult, NotFoundError, StorageError

ADA, BOB = 11, 22
PHOTOS = [NewPhoto(b"first photo"), NewPhoto(b"second photo")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    opened = await Database.open(url(file))
    yield opened
    await opened.close()


@pytest.fixture
def identities(database: Database) -> IdentityStore:
    return IdentityStore(database)


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)


def url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def new_job(**how: object) -> NewJob:
    return NewJob(**{"user_id": ADA, "channel_id": 1, "message_id": 2, "interaction_token": "t", "request": {}, **how})  # type: ignore[arg-type]


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


async def test_an_identity_comes_back_as_it_was_added(identities: IdentityStore) -> None:
    added = await identities.add(ADA, "newton", PHOTOS, "Fictional person or work of art")
    assert await identities.find(ADA, "newton") == added
    assert (added.photo_count, added.declaration) == (2, "Fictional person or work of art")
    assert [photo.content for photo in await identities.photos(added.id)] == [b"first photo", b"second photo"]


async def test_it_is_there_again_after_a_restart(file: Path) -> None:
    first = await Database.open(url(file))
    await IdentityStore(first).add(ADA, "newton", PHOTOS, "mine")
    await first.close()
    second = await Database.open(url(file))
    assert await IdentityStore(second).names(ADA) == ["newton"]
    await second.close()


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


@pytest.mark.parametrize("again", ["newton", "NEWTON", "  newton ", "ｎｅｗｔｏｎ"])
async def test_a_name_is_taken_once_a_member_however_it_is_written(identities: IdentityStore, again: str) -> None:
    await identities.add(ADA, "Newton", PHOTOS, "mine")
    with pytest.raises(StorageError, match="already have an identity called"):
        await identities.add(ADA, again, [NewPhoto(b"other")], "mine")
    assert await identities.names(ADA) == ["Newton"]
    await identities.add(BOB, again, PHOTOS, "mine")


async def test_a_member_finds_only_their_own(identities: IdentityStore) -> None:
    added = await identities.add(ADA, "newton", PHOTOS, "mine")
    for refused in (
        identities.find(BOB, "newton"),
        identities.usable(BOB, None, added.id),
        identities.rename(BOB, "newton", "stolen"),
        identities.delete(BOB, "newton"),
    ):
        with pytest.raises(NotFoundError):
            await refused
    assert await identities.names(BOB) == []
    assert await identities.names(ADA) == ["newton"]


async def test_renaming_keeps_the_photos_and_refuses_a_taken_name(identities: IdentityStore) -> None:
    await identities.add(ADA, "isaac", PHOTOS, "mine")
    await identities.add(ADA, "lenna", PHOTOS, "mine")
    with pytest.raises(StorageError, match="“Lenna”"):
        await identities.rename(ADA, "isaac", "Lenna")
    renamed = await identities.rename(ADA, "isaac", "Isaac")
    assert (renamed.name, renamed.photo_count) == ("Isaac", 2)


async def test_deleting_leaves_no_trace_in_the_file(identities: IdentityStore, database: Database, file: Path) -> None:
    added = await identities.add(ADA, "newton", [NewPhoto(b"secret pixels" * 500)], "mine")
    photo = (await identities.photos(added.id))[0]
    await identities.keep_features("adapter", {photo.id: b"secret numbers" * 500})
    await identities.delete(ADA, "newton")
    for table in ("identities", "id_photos", "id_features", "consents"):
        assert rows(file, f"SELECT count(*) FROM {table}") == [(0,)]
    await database.close()
    everything = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"secret" not in everything


async def test_autocompletion_finds_parts_of_names_and_takes_wildcards_literally(identities: IdentityStore) -> None:
    for name in ("Newton", "newt", "100 %", "Ünal"):
        await identities.add(ADA, name, PHOTOS, "mine")
    assert await identities.names(ADA, containing="NEWT") == ["Newton", "newt"]
    assert await identities.names(ADA, containing="%") == ["100 %"]
    assert await identities.names(ADA, containing="ü") == ["Ünal"]
    assert await identities.names(ADA, limit=1) == ["Newton"]


async def test_features_are_kept_by_the_adapter_that_made_them(identities: IdentityStore) -> None:
    added = await identities.add(ADA, "newton", PHOTOS, "mine")
    first, second = await identities.photos(added.id)
    await identities.keep_features("v1", {first.id: b"one", second.id: b"two", 999: b"of a photo deleted meanwhile"})
    await identities.keep_features("v2", {first.id: b"other"})
    assert [photo.features for photo in await identities.photos(added.id, "v1")] == [b"one", b"two"]
    assert [photo.features for photo in await identities.photos(added.id, "v2")] == [b"other", None]


async def test_unfinished_jobs_are_found_again_in_order(jobs: JobStore, file: Path) -> None:
    accepted = [await jobs.accept(new_job(request={"number": number})) for number in range(5)]
    await jobs.started(accepted[0].id)
    await jobs.finished(accepted[1].id, [NewResult(7, {"steps": 30})])
    await jobs.failed(accepted[2].id, "no")
    await jobs.cancelled(accepted[3].id)
    assert [job.request["number"] for job in await jobs.unfinished()] == [0, 4]
    assert rows(file, "SELECT state, interaction_token FROM jobs ORDER BY id") == [
        ("running", "t"), ("done", None), ("failed", None), ("cancelled", None), ("queued", "t"),
    ]  # fmt: skip
    assert rows(file, "SELECT seed, picture FROM results") == [(7, None)]


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


async def test_a_busy_database_is_waited_for(identities: IdentityStore, file: Path) -> None:
    other = sqlite3.connect(file, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    adding = asyncio.create_task(identities.add(ADA, "newton", PHOTOS, "mine"))
    await asyncio.sleep(0.3)
    assert not adding.done()
    other.rollback()
    other.close()
    assert (await adding).name == "newton"
