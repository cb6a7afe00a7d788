"""Tests of the job store."""

from __future__ import annotations

from pathlib import Path

from storage import JobStore, NewResult
from tests.support.database import new_job, rows


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
