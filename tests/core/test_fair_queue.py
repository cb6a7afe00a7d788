"""Fair queueing between members, as promises about who gets how many steps."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photomaker_core.serving.fair_queue import FairQueue

Item = tuple[str, int]


def queue_of(**counts: int) -> FairQueue[Item]:
    queue: FairQueue[Item] = FairQueue()
    for member, count in counts.items():
        for number in range(count):
            queue.add((member, number), member=member, key="square")
    return queue


def served(queue: FairQueue[Item], batches: int, limit: int = 1) -> Counter[str]:
    return Counter(member for _ in range(batches) for member, _ in queue.next_batch(limit))


def test_a_member_with_twenty_pictures_gets_no_more_steps_than_one_with_one() -> None:
    assert served(queue_of(busy=20, modest=1), batches=100) == {"busy": 50, "modest": 50}


def test_a_batch_has_room_for_everybody_before_anybody_gets_a_second_place() -> None:
    assert Counter(member for member, _ in queue_of(busy=20, b=1, c=1).next_batch(4)) == {"busy": 2, "b": 1, "c": 1}


def test_whoever_comes_is_in_the_next_batch() -> None:
    queue = queue_of(busy=20)
    served(queue, batches=1000)
    queue.add(("new", 0), member="new", key="square")
    assert ("new", 0) in queue.next_batch(2)


def test_being_away_earns_no_credit() -> None:
    queue = queue_of(early=1, busy=5)
    queue.remove(("early", 0))
    served(queue, batches=1000)
    queue.add(("early", 1), member="early", key="square")
    assert served(queue, batches=20) == {"early": 10, "busy": 10}


def test_going_away_pays_no_debt() -> None:
    queue = queue_of(greedy=1)
    served(queue, batches=100)
    queue.add(("other", 0), member="other", key="square")
    served(queue, batches=2)
    ahead = served(queue, batches=1)
    leaver = next(iter(ahead))
    queue.remove((leaver, 0))
    queue.add((leaver, 1), member=leaver, key="square")
    assert leaver not in served(queue, batches=1)


def test_twice_the_weight_is_twice_the_steps() -> None:
    queue = queue_of(plain=3)
    queue.add(("patron", 0), member="patron", key="square", weight=2)
    assert served(queue, batches=30) == {"plain": 10, "patron": 20}


def test_large_pictures_count_for_what_they_cost() -> None:
    queue: FairQueue[Item] = FairQueue()
    queue.add(("large", 0), member="large", key="large", cost=4)
    queue.add(("small", 0), member="small", key="small", cost=1)
    assert served(queue, batches=50) == {"large": 10, "small": 40}


def test_a_batch_holds_what_fits_together_and_the_oldest_of_a_member_first() -> None:
    queue: FairQueue[Item] = FairQueue()
    for number, key in enumerate(["square", "wide", "square", "wide"]):
        queue.add(("a", number), member="a", key=key)
    assert queue.next_batch(8) == [("a", 0), ("a", 2)]
    queue.remove(("a", 0))
    assert queue.next_batch(8) == [("a", 1), ("a", 3)]


def test_patience_bounds_how_often_the_key_changes_and_how_long_anybody_waits() -> None:
    queue: FairQueue[Item] = FairQueue(patience=4)
    for member, key in (("a", "plain"), ("b", "papercut"), ("c", "plain")):
        queue.add((member, 0), member=member, key=key)
    order = [queue.next_batch(2) for _ in range(60)]
    keys = ["papercut" if ("b", 0) in batch else "plain" for batch in order]
    changes = sum(one != other for one, other in itertools.pairwise(keys))
    assert changes <= 60 / 4 + 1
    work = Counter(member for batch in order for member, _ in batch)
    assert max(work.values()) - min(work.values()) <= 5
    assert "papercut" in keys[:6]


def test_a_member_alone_does_not_wait_for_a_key_that_is_gone() -> None:
    queue: FairQueue[Item] = FairQueue(patience=4)
    queue.add(("a", 0), member="a", key="plain")
    queue.next_batch(1)
    queue.remove(("a", 0))
    queue.add(("b", 0), member="b", key="papercut")
    assert queue.next_batch(1) == [("b", 0)]


def test_nothing_is_queued_twice_and_what_is_gone_is_gone() -> None:
    queue = queue_of(a=1)
    with pytest.raises(ValueError, match="already"):
        queue.add(("a", 0), member="b", key="square")
    queue.remove(("a", 0))
    queue.remove(("a", 0))
    assert not len(queue)
    assert queue.next_batch(4) == []


@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    costs=st.lists(st.integers(1, 5), min_size=6, max_size=6),
    limit=st.integers(1, 8),
    batches=st.integers(1, 60),
)
def test_no_member_falls_behind_another_by_more_than_a_batch(
    counts: list[int], costs: list[int], limit: int, batches: int
) -> None:
    """The fairness bound of start-time fair queueing, with a batch in the place of a packet."""
    queue: FairQueue[Item] = FairQueue()
    for member, count in enumerate(counts):
        for number in range(count):
            queue.add((str(member), number), member=member, key="square", cost=costs[member])
    work: Counter[int] = Counter(dict.fromkeys(range(len(counts)), 0))
    for _ in range(batches):
        batch = queue.next_batch(limit)
        assert len(set(batch)) == len(batch) == min(limit, sum(counts))
        for member, _number in batch:
            work[int(member)] += costs[int(member)]
    could_do = {member: min(limit, counts[member]) for member in work}
    full_speed = [member for member in work if limit <= counts[member]]
    for one in full_speed:
        for other in full_speed:
            assert work[other] - work[one] <= costs[one] * could_do[one] + costs[other] * could_do[other]
