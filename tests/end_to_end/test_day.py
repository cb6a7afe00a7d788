"""A day of a server: everybody gets an answer, every job ends with a word to its member, and nothing piles up.

``DAY_HOURS=24 DAY_HOUR_S=15 DAY_ARRIVALS=60 DAY_MEMBERS=200`` is a whole day, of fifteen real seconds an hour;
``DAY_SEED`` chooses another one.
"""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

import pytest

from tests.support.busy_day import Day, grown, table
from tests.support.discord_double import DiscordDouble
from tests.support.killable_bot import KillableBot
from tests.support.server import rows

HOURS = int(os.environ.get("DAY_HOURS", "3"))
HOUR_S = float(os.environ.get("DAY_HOUR_S", "1.5"))
MEMBERS = int(os.environ.get("DAY_MEMBERS", "4"))
SEED = int(os.environ.get("DAY_SEED", "1"))
ARRIVALS_AN_HOUR = float(os.environ.get("DAY_ARRIVALS", "12"))
FAULT_SHARE = float(os.environ.get("DAY_FAULTS", "0.1" if HOURS < 24 else "0.01"))
_ENDS = {"delivered", "failed", "cancelled", "refused", "deleted"}


@pytest.mark.timeout(180 + 2 * MEMBERS + HOURS * (HOUR_S + 90))
async def test_a_day_of_many_members(killable: tuple[DiscordDouble, KillableBot], tmp_path: Path) -> None:
    double, bot = killable
    members = [double.world.add_user(f"member{number}") for number in range(MEMBERS)]
    await bot.start()
    await bot.until(double.gateway.is_ready.wait())
    day = Day(double, bot, tmp_path, random.Random(SEED), members, FAULT_SHARE)
    await day.arrive()
    for hour in range(HOURS):
        await day.hour(hour, ARRIVALS_AN_HOUR, HOUR_S)
    print(f"\n{table(day.readings)}\n{dict(day.done.most_common())}")
    waits_s = day.waits_s()
    p99_s = waits_s[math.ceil(0.99 * len(waits_s)) - 1]
    print(f"{len(waits_s)} of {len(day.asked)} acknowledged: p99 {p99_s:.2f} s, worst {waits_s[-1]:.2f} s")
    states = rows(tmp_path, "SELECT state, awaits_delivery, count(*) FROM jobs GROUP BY state, awaits_delivery")
    print(states)
    unanswered = day.unanswered()
    assert unanswered == []
    assert {state for state, _, _ in states} <= _ENDS
    assert not any(awaits for _, awaits, _ in states)
    assert day.untold() == []
    assert double.complaints() == []
    assert grown(day.readings, lambda one: one.tasks) <= 2
    assert grown(day.readings, lambda one: one.handles) <= 8
    assert grown(day.readings, lambda one: one.views) <= 12
    if HOURS >= 24:
        assert grown(day.readings, lambda one: one.memory_mib) <= 64
        assert p99_s < 1
