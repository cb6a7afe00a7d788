"""Weighted fair queueing: the choice of who gets the next denoising step, in batches of what fits together.

Called by the runner once a tick. It knows no tensors and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Entry:
    key: Hashable
    cost: float


@dataclass(slots=True)
class _Flow(Generic[T]):
    """One member's entries, oldest first, and the service they have had, divided by their weight."""

    virtual_time: float
    weight: float
    entries: dict[T, _Entry] = field(default_factory=dict)


class FairQueue(Generic[T]):
    """Start-time fair queueing (Goyal, Vin and Cheng 1996) with one denoising step of a picture as the unit.

    Every member with something to draw has a virtual time, which grows by ``cost / weight`` with each step they
    get; the next step goes to whoever is furthest behind. Somebody who comes, or comes back, starts at the
    virtual time of those who are there: no credit for having been away, and no debt beyond what they had.
    So a member's share of the steps does not depend on how many pictures they ask for, and a new member's first
    step comes with the next batch. Inside one member's queue the oldest picture is first.

    Changing from one key to another may cost time, as switching LoRAs does: a batch keeps the key of the one before
    while somebody with that key is at most ``patience`` steps ahead of whoever is furthest behind.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self._patience = patience
        self._last_key: Hashable = None
        self._flows: dict[Hashable, _Flow[T]] = {}
        self._member_of: dict[T, Hashable] = {}

    def __len__(self) -> int:
        return len(self._member_of)

    def __contains__(self, item: T) -> bool:
        return item in self._member_of

    def add(self, item: T, *, member: Hashable, key: Hashable, cost: float = 1.0, weight: float = 1.0) -> None:
        """Queue ``item`` for as many batches as it takes, until it is removed.

        Only items with equal ``key`` share a batch; ``cost`` is what one step of it takes; of two members, one
        with twice the ``weight`` gets twice the steps. Raises ``ValueError`` for an item that is queued already, and
        for a cost or a weight that is not a number above zero.
        """
        if not (0 < cost < math.inf and 0 < weight < math.inf):
            raise ValueError(f"a cost of {cost} with a weight of {weight} cannot be shared")
        if item in self._member_of:
            raise ValueError("this item is queued already")
        now = self._now()
        flow = self._flows.setdefault(member, _Flow(now, weight))
        if not flow.entries:
            flow.virtual_time = max(flow.virtual_time, now)
        flow.weight = weight
        flow.entries[item] = _Entry(key, cost)
        self._member_of[item] = member

    def remove(self, item: T) -> None:
        """Take an item out; does nothing when it is not queued."""
        member = self._member_of.pop(item, None)
        if member is None:
            return
        del self._flows[member].entries[item]
        self._forget_the_absent()

    def next_batch(self, limit: int) -> list[T]:
        """Up to ``limit`` items for one step, at least one unless the queue is empty; they are charged for it.

        The member furthest behind decides the batch's key, but for ``patience``; the rest of it goes, one by one, to
        whoever is furthest behind then.
        """
        batch: list[T] = []
        waiting = {member: iter(list(flow.entries.items())) for member, flow in self._flows.items() if flow.entries}
        if not waiting:
            return batch
        self._last_key = key = self._next_key()
        while waiting and len(batch) < limit:
            member = min(waiting, key=lambda one: self._flows[one].virtual_time)
            flow = self._flows[member]
            for item, entry in waiting[member]:
                if entry.key == key:
                    batch.append(item)
                    flow.virtual_time += entry.cost / flow.weight
                    break
            else:
                del waiting[member]
        return batch

    def _next_key(self) -> Hashable:
        """The key of the furthest behind, or the last one while somebody who has it is not too far ahead."""
        present = [flow for flow in self._flows.values() if flow.entries]
        behind = min(present, key=lambda flow: flow.virtual_time)
        first = next(iter(behind.entries.values())).key
        if first == self._last_key:
            return first
        stays = any(
            entry.key == self._last_key
            and (flow.virtual_time - behind.virtual_time) * flow.weight < self._patience * entry.cost
            for flow in present
            for entry in flow.entries.values()
        )
        return self._last_key if stays else first

    def _now(self) -> float:
        """The queue's virtual time: that of the member furthest behind among those with something to draw."""
        return min((flow.virtual_time for flow in self._flows.values() if flow.entries), default=0.0)

    def _forget_the_absent(self) -> None:
        """Drop members with nothing queued once the others have caught up with them, or all have left."""
        now = self._now()
        self._flows = {
            member: flow
            for member, flow in self._flows.items()
            if flow.entries or (self._member_of and flow.virtual_time > now)
        }
