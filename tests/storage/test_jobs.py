"""Tests of the job store: the states, what is erased when, the limits under concurrent commands."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from storage import Database, DrawnPicture, JobLimits, JobStore, LimitReachedError, NewResult
from tests.support.database import ADA, BOB, new_job, rows, url

RESULT = NewResult(7, b"picture", b"thumbnail")


async def test_unfinished_jobs_are_found_again_in_order(jobs: JobStore, file: Path) -> None:
    accepted = [await jobs.accept(new_job(request={"number": number})) for number in range(6)]
    await jobs.begun(accepted[0].id)
    await jobs.drawn(accepted[1].id, [RESULT])
    await jobs.failed(accepted[2].id, "no")
    await jobs.cancelled(accepted[3].id)
    await jobs.refused(accepted[5].id, "not here")
    assert [job.request["number"] for job in await jobs.unfinished()] == [0, 4]
    assert [job.request["number"] for job in await jobs.undelivered()] == [1, 2, 3, 5]
    assert [state for (state,) in rows(file, "SELECT state FROM jobs ORDER BY id")] == [
        "running", "drawn", "failed", "cancelled", "queued", "refused",
    ]  # fmt: skip


@pytest.mark.parametrize("keep", [True, False])
async def test_pictures_wait_for_their_delivery(jobs: JobStore, file: Path, keep: bool) -> None:
    job = await jobs.accept(new_job(source=b"source"))
    assert await jobs.source(job.id) == b"source"
    assert await jobs.drawn(job.id, [RESULT, replace(RESULT, is_spoiler=True)], "in the sea")
    assert await jobs.pictures(job.id) == [DrawnPicture(b"picture"), DrawnPicture(b"picture", is_spoiler=True)]
    assert rows(file, "SELECT source, interaction_token, dropped_text FROM jobs") == [(None, "t", "in the sea")]
    await jobs.delivered(job.id, 77, keep_pictures=keep)
    assert rows(file, "SELECT state, message_id, interaction_token, awaits_delivery FROM jobs") == [
        ("delivered", 77, None, 0)
    ]
    assert len(await jobs.pictures(job.id)) == (2 if keep else 0)
    assert [past.thumbnail for past in await jobs.history(job.user_id, 5)] == [b"thumbnail"]


async def test_what_cannot_be_delivered_says_why(jobs: JobStore, file: Path) -> None:
    drawn, failed = [await jobs.accept(new_job()) for _ in range(2)]
    await jobs.drawn(drawn.id, [RESULT])
    await jobs.failed(failed.id, "no")
    for job in (drawn, failed):
        await jobs.undeliverable(job.id, "closed", keep_pictures=False)
    assert await jobs.undelivered() == []
    assert rows(file, "SELECT state, error FROM jobs ORDER BY id") == [("failed", "closed"), ("failed", "no")]


async def test_the_first_end_of_a_job_counts(jobs: JobStore, file: Path) -> None:
    job = await jobs.accept(new_job())
    assert await jobs.cancelled(job.id)
    assert not await jobs.begun(job.id)
    assert not await jobs.drawn(job.id, [RESULT])
    assert not await jobs.failed(job.id, "no")
    assert rows(file, "SELECT state FROM jobs") == [("cancelled",)]
    assert rows(file, "SELECT count(*) FROM results") == [(0,)]
    assert not await jobs.drawn(job.id + 1, [RESULT])


async def test_attempts_are_counted_and_a_stop_is_none(jobs: JobStore) -> None:
    job = await jobs.accept(new_job())
    await jobs.begun(job.id)
    await jobs.begun(job.id)
    await jobs.interrupted([job.id])
    assert [(one.state, one.attempts) for one in await jobs.unfinished()] == [("queued", 1)]


@pytest.mark.parametrize("attempt", range(20))
async def test_commands_at_once_do_not_pass_a_limit_together(file: Path, jobs: JobStore, attempt: int) -> None:
    other = await Database.open(url(file))
    stores = (jobs, JobStore(other))
    limits = JobLimits(open_jobs=1)
    answers = await asyncio.gather(
        *(stores[number % 2].accept(new_job(), limits) for number in range(10)), return_exceptions=True
    )
    await other.close()
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert len(refused) == 9
    assert {str(one) for one in refused} == {
        "Open jobs of yours: 1, which is the most. Wait for one to finish, or cancel it."
    }


async def test_a_days_pictures_are_counted_by_their_member(jobs: JobStore, file: Path) -> None:
    limits = JobLimits(pictures_a_day=5)
    first = await jobs.accept(new_job(pictures=4), limits)
    with pytest.raises(LimitReachedError, match="4; 5 are the most"):
        await jobs.accept(new_job(pictures=2), limits)
    await jobs.accept(new_job(user_id=BOB, pictures=4), limits)
    await jobs.failed(first.id, "no")
    await jobs.accept(new_job(pictures=5), limits)


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        (JobLimits(pictures_a_day=3), "Pictures of yours in the last 24 hours: 3; 3 are the most"),
        (JobLimits(server_open_jobs=3), "Open jobs of this server: 3, which is the most"),
        (JobLimits(server_pictures_a_day=3), "Pictures of this server in the last 24 hours: 3; 3 are the most"),
    ],
)
async def test_of_ten_at_once_as_many_pass_as_may(file: Path, jobs: JobStore, limits: JobLimits, refusal: str) -> None:
    other = await Database.open(url(file))
    stores = (jobs, JobStore(other))
    members = (ADA,) if limits.pictures_a_day else (ADA, BOB)
    answers = await asyncio.gather(
        *(
            stores[number % 2].accept(new_job(user_id=members[number % len(members)], guild_id=7), limits)
            for number in range(10)
        ),
        return_exceptions=True,
    )
    await other.close()
    refused = [str(one) for one in answers if isinstance(one, LimitReachedError)]
    assert len(refused) == 7
    assert all(refusal in one for one in refused)


async def test_a_servers_limits_count_neither_other_servers_nor_direct_messages(jobs: JobStore) -> None:
    limits = JobLimits(server_open_jobs=1, server_pictures_a_day=1)
    for guild_id in (7, 8, None, None):
        await jobs.accept(new_job(guild_id=guild_id), limits)
    with pytest.raises(LimitReachedError, match="of this server"):
        await jobs.accept(new_job(user_id=BOB, guild_id=7), limits)
