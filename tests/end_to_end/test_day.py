"""A day of a server: everybody gets an answer, every job ends with a word to its member, and nothing piles up.

``DAY_HOURS=24 DAY_HOUR_S=15 DAY_ARRIVALS=60 DAY_MEMBERS=200`` is a whole day, of fifteen real seconds an hour;
``DAY_SEED`` chooses another one.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.support.busy_day import Acknowledgements, Day, grown, table
from tests.support.faults import Faults
from tests.support.gpu_faults import FaultySteps
from tests.support.server import Server, rows, upload

HOURS = int(os.environ.get("DAY_HOURS", "3"))
HOUR_S = float(os.environ.get("DAY_HOUR_S", "1.5"))
MEMBERS = int(os.environ.get("DAY_MEMBERS", "4"))
SEED = int(os.environ.get("DAY_SEED", "1"))
ARRIVALS_AN_HOUR = float(os.environ.get("DAY_ARRIVALS", "12"))
_ENDS = {"delivered", "failed", "cancelled", "refused", "deleted"}
_UNFINISHED = ("⏳", "▰", "▱")


@pytest.mark.timeout(120 + HOURS * (HOUR_S + 60))
async def test_a_day_of_many_members(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faulty_steps: FaultySteps
) -> None:
    guild = server.env.guild
    members = [guild.add_member(server.env.create_user(f"member{number}")) for number in range(MEMBERS)]
    acknowledged, faults = Acknowledgements(monkeypatch), Faults()
    faults.install(monkeypatch)
    for member in members:
        await server.add(member, "one", upload(1))
        await server.add(member, "two", upload(2))
    acknowledged.seconds.clear()
    day = Day(server, tmp_path, random.Random(SEED), members, faults, faulty_steps)
    for hour in range(HOURS):
        await day.hour(hour, ARRIVALS_AN_HOUR, HOUR_S)
    print(f"\n{table(day.readings)}\n{dict(day.done.most_common())}")
    seconds = acknowledged.seconds
    print(f"{len(seconds)} acknowledged: p99 {acknowledged.p99:.2f} s, worst {max(seconds):.2f} s")
    assert acknowledged.waiting == 0
    states = rows(tmp_path, "SELECT state, awaits_delivery, count(*) FROM jobs GROUP BY state, awaits_delivery")
    print(states)
    assert {state for state, _, _ in states} <= _ENDS
    assert not any(awaits for _, awaits, _ in states)
    left = [one for one in server.channel.history() if any(sign in one.content for sign in _UNFINISHED)]
    assert left == [], [one.content for one in left]
    assert grown(day.readings, lambda one: one.tasks) <= 2
    assert grown(day.readings, lambda one: one.handles) <= 8
    assert grown(day.readings, lambda one: one.views) <= 12
    assert HOURS < 24 or acknowledged.p99 < 1
