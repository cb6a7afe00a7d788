"""How long a job takes, from the steps measured so far."""

from __future__ import annotations

import pytest

from bot.domain.time_estimate import ThroughputEstimator


@pytest.mark.parametrize("step_s", [0.05, 4.9, 5.1, 60.0])
def test_steps_of_any_pace_give_an_estimate(step_s: float) -> None:
    pace = ThroughputEstimator()
    assert pace.expected_s(10) is None
    pace.begin(100.0)
    for number in range(1, 5):
        pace.note(1, 100.0 + number * step_s)
    assert pace.expected_s(10) == pytest.approx(10 * step_s)


def test_pauses_do_not_count() -> None:
    pace = ThroughputEstimator()
    for start_s in (0.0, 10_000.0):
        pace.begin(start_s)
        pace.note(2, start_s + 4.0)
        pace.pause()
    assert pace.expected_s(1) == pytest.approx(2.0)


def test_a_job_that_joins_others_changes_nothing() -> None:
    pace = ThroughputEstimator()
    pace.begin(0.0)
    pace.note(1, 2.0)
    pace.begin(3.0)
    pace.note(1, 4.0)
    assert pace.expected_s(1) == pytest.approx(2.0)


def test_the_pace_of_long_ago_is_forgotten() -> None:
    pace = ThroughputEstimator()
    pace.begin(0.0)
    pace.note(300, 3000.0)
    for number in range(1, 601):
        pace.note(1, 3000.0 + number)
    assert pace.expected_s(1) == pytest.approx(1.0, rel=1.5)
