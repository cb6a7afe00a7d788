"""Copies of a database, putting them back, checking and shrinking it: on real files, through the command."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from bot.cli import main
from storage import Database, IdentityStore
from storage.maintenance import MaintenanceError, back_up, check, sqlite_file
from tests.storage.test_migrations import old_database
from tests.support.database import ADA, PHOTOS, rows, url


@pytest.fixture
def stored(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed database with one identity, which the command's settings name."""
    monkeypatch.setenv("DATABASE_URL", url(file))
    monkeypatch.chdir(file.parent)
    asyncio.run(add("newton", file))
    return file


async def add(name: str, file: Path) -> None:
    database = await Database.open(url(file))
    await IdentityStore(database).add(ADA, name, PHOTOS, "mine")
    await database.close()


def names(file: Path) -> list[str]:
    return [str(name) for (name,) in rows(file, "SELECT name FROM identities ORDER BY id")]


def test_a_copy_brings_back_what_was_deleted_since(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = stored.with_name("copy.db")
    assert main(["db", "backup", str(copy)]) == 0
    assert "guard it" in capsys.readouterr().out
    if os.name == "posix":
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    asyncio.run(add("lenna", stored))
    assert main(["db", "restore", str(copy)]) == 0
    said = capsys.readouterr().out
    assert names(stored) == ["newton"]
    aside = re.search(r"there is (\S+) now", said)
    assert aside is not None
    assert names(Path(aside[1])) == ["newton", "lenna"]
    asyncio.run(add("euler", stored))
    assert names(stored) == ["newton", "euler"]
    assert not list(stored.parent.glob("*.partial"))


def test_a_copy_is_whole_while_the_bot_writes(stored: Path) -> None:
    stop = threading.Event()
    rounds = 0

    def write() -> None:
        nonlocal rounds
        connection = sqlite3.connect(stored, timeout=30)
        while not stop.is_set():
            with connection:
                connection.execute("INSERT INTO users (id, created_at) VALUES (?, '2026')", (1000 + 2 * rounds,))
                connection.execute("INSERT INTO users (id, created_at) VALUES (?, '2026')", (1001 + 2 * rounds,))
            rounds += 1
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            copy = stored.with_name(f"copy-{number}.db")
            back_up(stored, copy)
            assert check(copy).faults == ()
            assert rows(copy, "SELECT count(*) % 2 FROM users WHERE id >= 1000") == [(0,)]
    finally:
        stop.set()
        writer.join()
    assert rounds > 0


async def test_what_replaces_the_database_waits_for_no_bot(
    stored_while_running: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = stored_while_running.with_name("copy.db")
    assert await asyncio.to_thread(main, ["db", "backup", str(copy)]) == 0
    for action in (["restore", str(copy)], ["vacuum"]):
        assert await asyncio.to_thread(main, ["db", *action]) == 2
        assert "Another bot is running" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["db", "check"]) == 0
    assert names(stored_while_running) == ["newton"]


@pytest.fixture
async def stored_while_running(file: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("DATABASE_URL", url(file))
    monkeypatch.chdir(file.parent)
    database = await Database.open(url(file), exclusive=True)
    await IdentityStore(database).add(ADA, "newton", PHOTOS, "mine")
    yield file
    await database.close()


def test_nothing_is_overwritten(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = stored.with_name("letter.txt")
    other.write_text("Dear Ada")
    for path in (other, stored):
        assert main(["db", "backup", str(path)]) == 2
        assert "is there already" in capsys.readouterr().err
    assert other.read_text() == "Dear Ada"
    assert names(stored) == ["newton"]


@pytest.mark.parametrize("kind", ["text", "empty", "foreign", "damaged", "newer", "missing", "folder"])
def test_an_unfit_copy_is_refused_and_the_database_stays(
    stored: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = stored.with_name("copy.db")
    match kind:
        case "text":
            copy.write_text("not a database at all, " * 400)
        case "empty":
            copy.touch()
        case "foreign":
            sqlite3.connect(copy).executescript("CREATE TABLE songs (name TEXT); INSERT INTO songs VALUES ('x')")
        case "damaged":
            back_up(stored, copy)
            with copy.open("r+b") as content:
                content.seek(3 * 4096)
                content.write(os.urandom(8192))
        case "newer":
            back_up(stored, copy)
            connection = sqlite3.connect(copy)
            with connection:
                connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.close()
        case "folder":
            copy.mkdir()
    assert main(["db", "restore", str(copy)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("photomaker-bot: ")
    assert said.count("\n") == 1
    assert names(stored) == ["newton"]
    assert not list(stored.parent.glob("*before*"))


@pytest.mark.parametrize("harm", ["text", "truncated"])
def test_a_copy_replaces_a_damaged_database_which_is_kept(stored: Path, harm: str) -> None:
    copy = stored.with_name("copy.db")
    back_up(stored, copy)
    content = b"overwritten by something else" if harm == "text" else stored.read_bytes()[:5000]
    stored.write_bytes(content)
    assert main(["db", "restore", str(copy)]) == 0
    assert names(stored) == ["newton"]
    (aside,) = (path for path in stored.parent.glob("*before*") if not path.name.endswith("-wal"))
    assert aside.read_bytes() == content


@pytest.mark.parametrize("revision", ["0001", "0003", "0005"])
def test_a_copy_of_an_earlier_version_is_brought_up_to_date_afterwards(
    stored: Path, revision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = stored.with_name("old.db")
    old_database(copy, revision)
    assert main(["db", "restore", str(copy)]) == 0
    assert main(["db", "check"]) == 0
    assert "brought up to date when the bot starts" in capsys.readouterr().out
    asyncio.run(add("euler", stored))
    assert names(stored) == ["Newton", "Lenna", "euler"]


def test_check_names_damage_and_counts_rows(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "check"]) == 0
    said = capsys.readouterr().out
    assert "is sound" in said
    assert "up to date" in said
    assert "identities: 1" in said
    assert "id_photos: 2" in said
    connection = sqlite3.connect(stored)
    with connection:
        connection.execute("DELETE FROM users")
    connection.close()
    assert main(["db", "check"]) == 1
    assert "✗ a row of" in capsys.readouterr().out


def test_vacuum_gives_room_back(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connection = sqlite3.connect(stored)
    with connection:
        connection.execute("CREATE TABLE filler (content BLOB)")
        connection.execute("INSERT INTO filler VALUES (zeroblob(3000000))")
    with connection:
        connection.execute("DROP TABLE filler")
    connection.close()
    assert check(stored).free_bytes > 2_900_000
    assert main(["db", "vacuum"]) == 0
    assert "MiB now" in capsys.readouterr().out
    assert check(stored).free_bytes == 0
    assert stored.stat().st_size < 1_000_000
    assert names(stored) == ["newton"]


@pytest.mark.parametrize("action", [["check"], ["vacuum"], ["backup", "copy.db"]])
def test_a_database_that_is_not_there_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url(tmp_path / "nowhere.db"))
    assert main(["db", *action]) == 2
    assert "There is no database at" in capsys.readouterr().err
    assert not (tmp_path / "nowhere.db").exists()
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("postgresql+asyncpg://ada:secret@example.org/bot", "pg_dump"),
        ("sqlite+aiosqlite://", "in memory"),
        ("sqlite+aiosqlite:///:memory:", "in memory"),
        ("nonsense", "not usable"),
    ],
)
def test_other_databases_get_a_sentence(where: str, said: str) -> None:
    with pytest.raises(MaintenanceError, match=said) as caught:
        sqlite_file(where)
    assert "secret" not in str(caught.value)


def test_a_copy_into_a_folder_that_is_not_there_is_explained(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "backup", str(stored.parent / "nowhere" / "copy.db")]) == 2
    assert "No such file or directory" in capsys.readouterr().err
