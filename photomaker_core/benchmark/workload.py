"""Requests, servers that answer them, and the two loads: members in a closed loop, and a Poisson stream."""

from __future__ import annotations

import random
import statistics
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Publish = Callable[[Literal["preview", "finished"]], None]

PROMPTS = (
    "a man img in a red hat",
    "a woman img at the beach",
    "a man img wearing a green hoodie on a yellow background",
    "a woman img with sunglasses, smiling",
    "a pencil sketch of a man img",
)
NEGATIVE = "blurry, lowres"


@dataclass(frozen=True, slots=True)
class Request:
    """One picture for one member; ``person`` counts the stored identities."""

    member: int
    person: int
    prompt: str
    negative: str
    seed: int


@dataclass(slots=True)
class Timing:
    """Seconds since the run's start."""

    arrived_s: float
    previewed_s: float = 0.0
    finished_s: float = 0.0

    @property
    def waited_s(self) -> float:
        """To the first preview."""
        return self.previewed_s - self.arrived_s

    @property
    def took_s(self) -> float:
        """To the picture."""
        return self.finished_s - self.arrived_s


class Server(Protocol):
    """Something that draws requests; everything happens inside :meth:`advance`."""

    @property
    def is_idle(self) -> bool: ...

    def submit(self, request: Request, publish: Publish) -> None: ...

    def advance(self) -> None: ...


class QueueServer(Server):
    """First come, first served; :meth:`advance` draws one whole request."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Request, Publish]] = deque()

    @property
    def is_idle(self) -> bool:
        return not self._waiting

    def submit(self, request: Request, publish: Publish) -> None:
        self._waiting.append((request, publish))

    def advance(self) -> None:
        self.draw(*self._waiting.popleft())

    @abstractmethod
    def draw(self, request: Request, publish: Publish) -> object:
        """Draw ``request`` and publish its progress; what is returned is not used."""


def random_request(member: int, people: int, rng: random.Random) -> Request:
    return Request(member, rng.randrange(people), rng.choice(PROMPTS), NEGATIVE, rng.randrange(2**31))


class Run:
    """One run of a server against the clock."""

    def __init__(self, server: Server) -> None:
        self._server, self._start_s = server, time.perf_counter()
        self.timings: list[Timing] = []

    @property
    def now_s(self) -> float:
        return time.perf_counter() - self._start_s

    def members(self, members: int, jobs_each: int, people: int, seed: int) -> float:
        """Every member asks again as soon as they have their picture; returns pictures a second."""
        rng = random.Random(seed)
        left = dict.fromkeys(range(members), jobs_each)

        def ask(member: int) -> None:
            if left[member]:
                left[member] -= 1
                self._submit(random_request(member, people, rng), self.now_s, lambda: ask(member))

        for member in left:
            ask(member)
        while not self._server.is_idle:
            self._server.advance()
        return members * jobs_each / self.now_s

    def stream(self, arrivals: Sequence[tuple[float, Request]]) -> list[Timing]:
        """Requests at their times, whatever the server is doing; returns their timings."""
        waiting = list(reversed(arrivals))
        while waiting or not self._server.is_idle:
            while waiting and waiting[-1][0] <= self.now_s:
                at_s, request = waiting.pop()
                self._submit(request, at_s)
            if not self._server.is_idle:
                self._server.advance()
            elif waiting:
                time.sleep(max(0.0, waiting[-1][0] - self.now_s))
        return self.timings

    def _submit(self, request: Request, at_s: float, then: Callable[[], None] | None = None) -> None:
        timing = Timing(at_s)
        self.timings.append(timing)

        def publish(what: Literal["preview", "finished"]) -> None:
            if not timing.previewed_s:
                timing.previewed_s = self.now_s
            if what == "finished":
                timing.finished_s = self.now_s
                if then is not None:
                    then()

        self._server.submit(request, publish)


def poisson(rate_per_s: float, count: int, members: int, people: int, seed: int) -> list[tuple[float, Request]]:
    """``count`` arrivals of a Poisson process, by members at random."""
    rng = random.Random(seed)
    at_s, arrivals = 0.0, []
    for _ in range(count):
        at_s += rng.expovariate(rate_per_s)
        arrivals.append((at_s, random_request(rng.randrange(members), people, rng)))
    return arrivals


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a ``share`` of the values does not exceed, between neighbours by proportion."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]
