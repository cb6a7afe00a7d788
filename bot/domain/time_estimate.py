"""Estimates of the time that a job will take, from the measured speed of its steps. Called by the job service."""

from __future__ import annotations

from typing import Final

_MEMORY_STEPS: Final = 300.0


class ThroughputEstimator:
    """Measures steps a second over about the last hundreds of steps; time in which nothing is drawn does not count."""

    def __init__(self) -> None:
        self._steps = self._seconds = 0.0
        self._last_s: float | None = None

    def begin(self, now_s: float) -> None:
        """Drawing has begun at ``now_s``, where nothing was being drawn before."""
        self._last_s = now_s if self._last_s is None else self._last_s

    def pause(self) -> None:
        """Nothing is being drawn any more."""
        self._last_s = None

    def note(self, steps: int, now_s: float) -> None:
        """``steps`` more were done by ``now_s``, on any job."""
        if self._last_s is None:
            self._last_s = now_s
            return
        kept = max(0.0, 1 - steps / _MEMORY_STEPS)
        self._steps = kept * self._steps + steps
        self._seconds = kept * self._seconds + now_s - self._last_s
        self._last_s = now_s

    def expected_s(self, steps: int) -> float | None:
        """Seconds that so many steps take, or ``None`` before anything was drawn."""
        return steps * self._seconds / self._steps if self._steps and self._seconds else None
