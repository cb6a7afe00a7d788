"""Tells a hanging piece of work from a slow one, by the pace measured so far. Called by the GPU thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_MEASURED: Final = 100


class Watchdog:
    """Watches one piece of work after the other.

    Work is overdue when it takes ``factor`` times as long as the slowest of the last hundred pieces, and ``least_s`` at
    least; the first piece, which compiles and warms up, has ``first_s``. ``clock`` counts seconds.
    """

    def __init__(
        self,
        *,
        least_s: float = 300.0,
        first_s: float = 900.0,
        factor: float = 20.0,
        check_every_s: float = 5.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.check_every_s = check_every_s
        self._least_s, self._first_s, self._factor, self._clock = least_s, first_s, factor, clock
        self._seconds: deque[float] = deque(maxlen=_MEASURED)
        self._started_s: float | None = None

    @contextmanager
    def watching(self, *, is_measured: bool = True) -> Iterator[None]:
        """Watch the work inside as one piece, one piece at a time; ``is_measured`` says whether it sets the pace."""
        started_s = self._started_s = self._clock()
        try:
            yield
        finally:
            self._started_s = None
            if is_measured:
                self._seconds.append(self._clock() - started_s)

    def successor(self, limit_s: float) -> Watchdog:
        """A watchdog for a worker that has started again, whose first piece has as long as any had before."""
        return Watchdog(
            least_s=self._least_s,
            first_s=limit_s,
            factor=self._factor,
            check_every_s=self.check_every_s,
            clock=self._clock,
        )

    @property
    def limit_s(self) -> float:
        if not self._seconds:
            return self._first_s
        return max(self._least_s, self._factor * max(self._seconds))

    @property
    def is_overdue(self) -> bool:
        started_s = self._started_s
        return started_s is not None and self._clock() - started_s > self.limit_s
