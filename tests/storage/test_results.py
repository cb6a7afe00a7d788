"""What is kept of pictures can be removed, and leaves the history with them."""

from __future__ import annotations

from pathlib import Path

from storage import Database, JobStore, NewResult, ResultStore
from tests.support.database import ADA, new_job, rows


async def test_results_of_one_job_are_removed_with_their_bytes(database: Database, jobs: JobStore, file: Path) -> None:
    for number in range(2):
        record = await jobs.accept(new_job())
        await jobs.drawn(record.id, [NewResult(1, b"picture %d" % number, b"thumbnail %d" % number)])
        await jobs.delivered(record.id, number, keep_pictures=True)
    assert await ResultStore(database).delete_of(1) == 1
    assert rows(file, "SELECT job_id FROM results") == [(2,)]
    assert [one.record.id for one in await jobs.history(ADA, 10)] == [2]
    assert await ResultStore(database).delete_of(1) == 0
    written = b"".join(one.read_bytes() for one in file.parent.iterdir() if one.name.startswith(file.name))
    assert b"thumbnail 1" in written
    assert b"thumbnail 0" not in written
    assert b"picture 0" not in written
