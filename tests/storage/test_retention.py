"""What is older than the operator allows is gone from the files; what is open or younger is as it was."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from storage import Database, JobStore, NewResult, RetentionPeriods, RetentionStore
from storage.retention import BATCH
from tests.support.database import ADA, new_job, rows, url

PROMPT, PERSON, THUMBNAIL, PICTURE = "magentaprompt", "isaacname", b"tealthumbnail" * 700, b"ochrepicture" * 900
SECRETS = {"prompts": b"magentaprompt", "thumbnails": b"tealthumbnail", "pictures": b"ochrepicture"}


async def finished(jobs: JobStore, **how: Any) -> int:
    request = {"prompt": PROMPT, "identities": [{"identity_id": 5, "name": PERSON}]}
    record = await jobs.accept(new_job(**{"request": request, "message_id": None, **how}))
    assert await jobs.begun(record.id)
    assert await jobs.drawn(record.id, [NewResult(7, PICTURE, THUMBNAIL)], dropped_text=PROMPT)
    return record.id


async def delivered(jobs: JobStore) -> int:
    job_id = await finished(jobs)
    await jobs.delivered(job_id, 99, keep_pictures=True)
    return job_id


def made_older(file: Path, days: float) -> None:
    connection = sqlite3.connect(file)
    then = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
    connection.execute("UPDATE jobs SET created_at = ?", (then,))
    connection.execute("UPDATE jobs SET finished_at = ? WHERE finished_at IS NOT NULL", (then,))
    connection.commit()
    connection.close()


def found(file: Path) -> set[str]:
    """Which secrets any file of the database holds."""
    content = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    return {name for name, secret in SECRETS.items() if secret in content}


@pytest.mark.parametrize("what", ["prompts", "thumbnails", "pictures"])
async def test_each_period_takes_its_own_out_of_the_files(
    database: Database, jobs: JobStore, file: Path, what: str
) -> None:
    await delivered(jobs)
    made_older(file, 3)
    retention = RetentionStore(database)
    assert (await retention.erase_expired(RetentionPeriods(**{what: 4}))).is_nothing
    assert found(file) == set(SECRETS)
    expired = await retention.erase_expired(RetentionPeriods(**{what: 2}))
    assert getattr(expired, what) == 1
    assert expired.is_final
    assert found(file) == set(SECRETS) - {what}
    assert (PERSON.encode() in file.read_bytes()) == (what != "prompts")
    assert (await retention.erase_expired(RetentionPeriods(**{what: 2}))).is_nothing, "nothing is erased twice"


async def test_a_job_goes_whole_and_its_id_does_not_come_again(database: Database, jobs: JobStore, file: Path) -> None:
    job_id = await delivered(jobs)
    made_older(file, 3)
    assert (await RetentionStore(database).erase_expired(RetentionPeriods(jobs=2))).jobs == 1
    assert found(file) == set()
    assert [rows(file, f"SELECT count(*) FROM {table}") for table in ("jobs", "results")] == [[(0,)], [(0,)]]
    assert await delivered(jobs) > job_id


async def test_what_has_not_reached_its_member_is_never_touched(database: Database, jobs: JobStore, file: Path) -> None:
    waiting = await jobs.accept(new_job(request={"prompt": PROMPT}, source=PICTURE))
    running = await jobs.accept(new_job(request={"prompt": PROMPT}))
    await jobs.begun(running.id)
    await finished(jobs)
    failed = await jobs.accept(new_job(request={"prompt": PROMPT}))
    await jobs.failed(failed.id, "not told yet")
    made_older(file, 1000)
    before = [rows(file, f"SELECT * FROM {table}") for table in ("jobs", "results")]
    expired = await RetentionStore(database).erase_expired(RetentionPeriods(1, 1, 1, 1))
    assert expired.is_nothing
    assert [rows(file, f"SELECT * FROM {table}") for table in ("jobs", "results")] == before
    assert {one.id for one in await jobs.unfinished()} == {waiting.id, running.id}


async def test_it_takes_many_short_transactions_and_others_write_between_them(
    database: Database, jobs: JobStore, file: Path
) -> None:
    await delivered(jobs)
    connection = sqlite3.connect(file)
    columns = "user_id, channel_id, request, pictures, state, attempts, awaits_delivery, created_at, finished_at"
    copied = f"INSERT INTO jobs ({columns}) SELECT {columns} FROM jobs WHERE id = 1"
    for _ in range(5 * BATCH):
        connection.execute(copied)
    connection.commit()
    connection.close()
    made_older(file, 3)
    erasing = asyncio.create_task(RetentionStore(database).erase_expired(RetentionPeriods(prompts=2)))
    seen = set()
    while not erasing.done():
        await jobs.accept(new_job(user_id=ADA))
        seen.add(rows(file, "SELECT count(*) FROM jobs WHERE request LIKE '%magenta%'")[0][0])
    assert (await erasing).prompts == 5 * BATCH + 1
    assert len(seen) > 3, "others saw it half done, and wrote"
    assert found(file) == {"thumbnails", "pictures"}


async def test_the_command_does_it_without_the_bot(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = await Database.open(url(file))
    await delivered(JobStore(database))
    await database.close()
    made_older(file, 3)
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("DATABASE_URL", url(file))
    assert await asyncio.to_thread(main, ["db", "expire"]) == 0
    assert "kept for ever" in capsys.readouterr().out
    assert found(file) == set(SECRETS)
    monkeypatch.setenv("RETAIN_THUMBNAILS_DAYS", "2")
    monkeypatch.setenv("RETAIN_PROMPTS_DAYS", "")
    assert await asyncio.to_thread(main, ["db", "expire"]) == 0
    assert "prompts of 0 jobs, thumbnails of 1, pictures of 0, and 0 jobs whole" in capsys.readouterr().out
    assert found(file) == {"prompts", "pictures"}
