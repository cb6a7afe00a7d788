"""A hanging piece of work is told from a slow one by the pace measured so far."""

from __future__ import annotations

import pytest

from bot.workers.watchdog import Watchdog


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def worked(watchdog: Watchdog, clock: Clock, seconds: float, *, is_measured: bool = True) -> None:
    with watchdog.watching(is_measured=is_measured):
        clock.now_s += seconds
        assert not watchdog.is_overdue


def test_the_first_piece_has_time_to_warm_up(clock: Clock) -> None:
    watchdog = Watchdog(least_s=10, first_s=100, factor=5, clock=clock)
    found = []
    with watchdog.watching():
        for seconds in (99, 2):
            clock.now_s += seconds
            found.append(watchdog.is_overdue)
    assert [*found, watchdog.is_overdue] == [False, True, False]


@pytest.mark.parametrize(("pace_s", "limit_s"), [(0.1, 10), (60, 300)])
def test_the_limit_follows_the_slowest_piece(clock: Clock, pace_s: float, limit_s: float) -> None:
    watchdog = Watchdog(least_s=10, first_s=100, factor=5, clock=clock)
    worked(watchdog, clock, pace_s)
    for _ in range(50):
        worked(watchdog, clock, pace_s / 10)
    worked(watchdog, clock, 0, is_measured=False)
    found = []
    with watchdog.watching():
        for seconds in (0.99 * limit_s, 0.02 * limit_s):
            clock.now_s += seconds
            found.append(watchdog.is_overdue)
    assert found == [False, True]


def test_a_pause_is_no_hang(clock: Clock) -> None:
    watchdog = Watchdog(least_s=10, first_s=10, factor=5, clock=clock)
    worked(watchdog, clock, 1)
    clock.now_s += 10_000
    assert not watchdog.is_overdue
