"""How fast steps go, as measured, and so how long a job will take. Called by the job desk."""

from __future__ import annotations

from typing import Final

_MEMORY_STEPS: Final = 300.0
_IDLE_S: Final = 5.0


class ThroughputEstimator:
    """Steps a second over about the last hundreds of steps; pauses in which nothing was drawn do not count."""

    def __init__(self) -> None:
        self._steps = self._seconds = 0.0
        self._last_s: float | None = None

    def note(self, steps: int, now_s: float) -> None:
        """``steps`` more were done by ``now_s``, on any job."""
        gone_s = 0.0 if self._last_s is None else now_s - self._last_s
        was_idle = self._last_s is None or gone_s > _IDLE_S
        self._last_s = now_s
        if was_idle:
            return
        kept = max(0.0, 1 - steps / _MEMORY_STEPS)
        self._steps = kept * self._steps + steps
        self._seconds = kept * self._seconds + gone_s

    def expected_s(self, steps: int) -> float | None:
        """Seconds that so many steps take, or ``None`` before anything was drawn."""
        return steps * self._seconds / self._steps if self._steps and self._seconds else None
