"""What is deleted is gone from rows, files and other people's rows, and it is said to be gone only then."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

import storage.database
from storage import Database, IdentityStore, JobStore, NewPhoto, NewResult, PrivacyStore
from tests.support.database import ADA, BOB, PHOTOS, new_job, rows, url

SECRET = b"secret pixels"


def files(file: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (file, file.with_name(f"{file.name}-wal")) if path.exists())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for longer than a moment."""
    monkeypatch.setattr(storage.database, "SCRUB_INTERVAL_S", 0.01)
    monkeypatch.setattr(storage.database, "SCRUB_AGAIN_S", 0.05)


@pytest.fixture
def reader(file: Path, database: Database) -> sqlite3.Connection:
    """Another program that goes on reading."""
    connection = sqlite3.connect(file)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM users").fetchone()
    return connection


async def add_secret(database: Database) -> None:
    await IdentityStore(database).add(ADA, "newton", [NewPhoto(SECRET * 500), NewPhoto(b"other")], "mine")


async def test_what_another_program_keeps_from_leaving_the_files_is_not_said_to_be_gone(
    database: Database, file: Path, impatient: None
) -> None:
    await add_secret(database)
    reader = sqlite3.connect(file)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM users").fetchone()
    assert not await PrivacyStore(database).forget(ADA)
    assert (await PrivacyStore(database).overview(ADA)).is_empty
    assert SECRET in files(file)
    reader.close()
    for _ in range(100):
        if SECRET not in files(file):
            break
        await asyncio.sleep(0.05)
    assert SECRET not in files(file)


async def test_a_reader_who_soon_ends_is_waited_for(database: Database, file: Path) -> None:
    await add_secret(database)
    reader = sqlite3.connect(file)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM users").fetchone()
    deleting = asyncio.create_task(IdentityStore(database).delete(ADA, "newton"))
    await asyncio.sleep(0.7)
    assert not deleting.done()
    reader.close()
    assert (await deleting).is_final
    assert SECRET not in files(file)


async def test_writers_are_not_held_up_meanwhile(database: Database, reader: sqlite3.Connection) -> None:
    await add_secret(database)
    forgetting = asyncio.create_task(PrivacyStore(database).forget(ADA))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(1):
        await IdentityStore(database).add(BOB, "lenna", PHOTOS, "mine")
    reader.close()
    assert await forgetting


async def test_the_next_owner_takes_out_what_the_last_one_could_not(file: Path, impatient: None) -> None:
    database = await Database.open(url(file))
    await add_secret(database)
    reader = sqlite3.connect(file)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM users").fetchone()
    assert not await PrivacyStore(database).forget(ADA)
    await database.close()
    assert SECRET in files(file)
    reader.rollback()  # still connected, so that nobody is the last to close the file
    await (await Database.open(url(file), exclusive=True)).close()
    assert SECRET not in files(file)
    reader.close()


def drawn(*identities: tuple[int, str]) -> dict[str, object]:
    return {"prompt": "a man img", "identities": [{"identity_id": one, "name": name} for one, name in identities]}


async def draw(jobs: JobStore, user_id: int, request: dict[str, object], message_id: int = 2) -> int:
    job = await jobs.accept(new_job(user_id=user_id, request=request, message_id=message_id))
    await jobs.drawn(job.id, [NewResult(7, b"picture", b"thumbnail", is_spoiler=True)])
    await jobs.delivered(job.id, message_id, keep_pictures=True)
    return job.id


async def test_a_persons_name_leaves_the_rows_of_whoever_drew_them(
    database: Database, identities: IdentityStore, jobs: JobStore, file: Path
) -> None:
    newton = await identities.add(ADA, "Sir Isaac Newton", PHOTOS, "mine")
    lenna = await identities.add(BOB, "Lenna", PHOTOS, "mine")
    both = (newton.id, "Sir Isaac Newton"), (lenna.id, "Lenna")
    await draw(jobs, BOB, drawn(*both))
    await draw(jobs, BOB, drawn((newton.id * 10, "not he"), (lenna.id, "Lenna")))
    await draw(jobs, BOB, {"identities": "odd", "note": f'"identity_id": {newton.id}'})
    assert await PrivacyStore(database).forget(ADA)
    assert b"Isaac" not in files(file)
    requests = [job.request for job in (await PrivacyStore(database).everything(BOB)).jobs]
    assert requests[0] == drawn((newton.id, "somebody"), (lenna.id, "Lenna"))
    assert requests[1] == drawn((newton.id * 10, "not he"), (lenna.id, "Lenna"))


async def test_a_deleted_identitys_name_leaves_the_rows_of_others_and_stays_in_ones_own(
    database: Database, identities: IdentityStore, jobs: JobStore, file: Path
) -> None:
    newton = await identities.add(ADA, "Newton", PHOTOS, "mine")
    for member in (ADA, BOB):
        await draw(jobs, member, drawn((newton.id, "Newton")))
    await identities.delete(ADA, "newton")
    (own,), (other,) = [(await PrivacyStore(database).everything(member)).jobs for member in (ADA, BOB)]
    assert own.request == drawn((newton.id, "Newton"))
    assert other.request == drawn((newton.id, "somebody"))
    assert rows(file, "SELECT count(*) FROM results WHERE settings LIKE '%Newton%'") == [(1,)]


async def test_a_name_that_goes_while_it_is_drawn_does_not_come_back(
    identities: IdentityStore, jobs: JobStore, file: Path
) -> None:
    newton = await identities.add(ADA, "Newton", PHOTOS, "mine")
    job = await jobs.accept(new_job(user_id=BOB, request=drawn((newton.id, "Newton"))))
    await jobs.begun(job.id)
    await identities.delete(ADA, "newton")
    assert await jobs.drawn(job.id, [NewResult(7, b"picture")], found={"kept_regions": ["01"]})
    expected = {**drawn((newton.id, "somebody")), "kept_regions": ["01"]}
    for table, column in (("jobs", "request"), ("results", "settings")):
        ((text,),) = rows(file, f"SELECT {column} FROM {table}")
        assert json.loads(str(text)) == expected


async def test_a_deleted_picture_leaves_no_thumbnail_no_prompt_and_no_entry_in_the_history(
    database: Database, jobs: JobStore, file: Path
) -> None:
    await draw(jobs, ADA, drawn((1, "Newton")), message_id=5)
    await draw(jobs, ADA, drawn((1, "Lenna")), message_id=6)
    assert await PrivacyStore(database).erase_picture(5)
    assert [past.record.message_id for past in await jobs.history(ADA, 10)] == [6]
    assert await jobs.by_message(5) is None
    assert b"Newton" not in files(file)
    assert rows(file, "SELECT settings, picture, thumbnail, is_spoiler FROM results WHERE job_id = 1") == [
        ("{}", None, None, 0)
    ]
    assert await PrivacyStore(database).erase_picture(999)


async def test_an_open_job_is_not_erased(database: Database, jobs: JobStore) -> None:
    job = await jobs.accept(new_job(message_id=5))
    await PrivacyStore(database).erase_picture(5)
    assert [one.id for one in await jobs.unfinished()] == [job.id]
