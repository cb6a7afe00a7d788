"""What becomes of tasks when the process that has them ends: suspects are tried alone, the guilty condemned."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.workers.task_ledger import MOST_CRASHES, TaskLedger


def ledger(*keys: int) -> TaskLedger[int, str]:
    filled: TaskLedger[int, str] = TaskLedger()
    for key in keys:
        filled.add(key, str(key))
    return filled


def sent(tasks: TaskLedger[int, str]) -> list[int]:
    return [key for key, _ in tasks.to_send()]


def test_everything_is_sent_once_and_in_order() -> None:
    tasks = ledger(3, 1, 2)
    assert sent(tasks) == [3, 1, 2]
    assert sent(tasks) == []
    assert not tasks.is_held(1)
    assert tasks.end(1) == "1"
    assert tasks.end(1) is None


def test_after_a_crash_suspects_are_tried_one_by_one_and_the_others_wait() -> None:
    tasks = ledger(1, 2, 3)
    sent(tasks)
    tasks.begin(1)
    tasks.begin(2)
    assert tasks.crash() == []
    tasks.add(4, "4")
    assert sent(tasks) == [1]
    tasks.begin(1)
    assert sent(tasks) == []
    tasks.end(1)
    assert sent(tasks) == [2]
    tasks.end(2)
    assert sent(tasks) == [3, 4]


def test_a_task_that_is_alone_at_two_crashes_is_condemned() -> None:
    tasks = ledger(1, 2)
    sent(tasks)
    tasks.begin(1)
    tasks.begin(2)
    tasks.crash()
    sent(tasks)
    tasks.begin(1)
    assert tasks.crash() == ["1"]
    assert sent(tasks) == [2]


def test_where_nothing_had_begun_reading_may_have_been_the_end() -> None:
    tasks = ledger(1)
    sent(tasks)
    assert tasks.crash() == []
    assert sent(tasks) == [1]
    assert tasks.crash() == ["1"]
    assert tasks.crash() == []


@given(
    count=st.integers(1, 8), poisoned=st.sets(st.integers(0, 7)), begun_first=st.lists(st.integers(0, 7), max_size=8)
)
def test_only_the_poisoned_are_condemned_and_all_others_are_done(
    count: int, poisoned: set[int], begun_first: list[int]
) -> None:
    """A process that begins what it has, in some order, and ends where it begins a poisoned task."""
    tasks = ledger(*range(count))
    order = {key: place for place, key in enumerate(begun_first)}
    done: set[int] = set()
    condemned: set[int] = set()
    crashes = 0
    while len(tasks):
        has = sorted(sent(tasks), key=lambda key: order.get(key, 99))
        assert has, "nothing is sent, and nothing would ever end"
        for place, key in enumerate(has):
            tasks.begin(key)
            if key in poisoned:
                crashes += 1
                condemned |= {int(one) for one in tasks.crash()}
                break
            if place % 2:
                tasks.end(key)
                done.add(key)
        else:
            for key in has:
                tasks.end(key)
                done.add(key)
    assert condemned == poisoned & set(range(count))
    assert done == set(range(count)) - poisoned
    assert crashes <= MOST_CRASHES * len(condemned)
