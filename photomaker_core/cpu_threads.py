"""Shares the processor with other programs: bounded spinning of OpenMP, and as many threads as cores are free.

OpenMP's threads wait for each other by spinning. Where another program takes one's core, the others spin until it is
back, so that a denoising step takes seconds instead of milliseconds. Called where a process starts, and by the step
engine. Figures are in docs/benchmark.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

_SPIN_COUNT: Final = "10000"
_LOOK_EVERY_S: Final = 1.0


def bound_spinning() -> None:
    """Let OpenMP threads spin about as long as a layer of a small network takes, unless the environment says otherwise.

    Must be called before torch is imported: libgomp reads its settings when it is loaded.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPIN_COUNT


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Seconds on the clock, and seconds of processor time since some moment: of all programs, and of this one."""

    clock_s: float
    all_s: float
    own_s: float


def measured_use() -> CpuUse:
    """The use of the processor up to now, over all cores."""
    system, own = psutil.cpu_times(), time.process_time()
    idle = system.idle + getattr(system, "iowait", 0.0)
    guest = getattr(system, "guest", 0.0) + getattr(system, "guest_nice", 0.0)
    return CpuUse(time.monotonic(), sum(system) - idle - guest, own)


class CpuThreads:
    """Keeps the number of a thread's OpenMP threads at what other programs leave free, from 1 to ``most``."""

    def __init__(
        self,
        most: int,
        set_threads: Callable[[int], None],
        use: Callable[[], CpuUse] = measured_use,
        cores: int | None = None,
    ) -> None:
        self._most, self._set_threads, self._use = most, set_threads, use
        self._cores = cores or os.cpu_count() or 1
        self._threads = most
        self._last = use()

    @property
    def threads(self) -> int:
        return self._threads

    def adapt(self) -> None:
        """Look at the load, at most once a second, and set the number of threads where it has changed."""
        if self._most == 1:
            return
        now = self._use()
        passed_s = now.clock_s - self._last.clock_s
        if passed_s < _LOOK_EVERY_S:
            return
        others = max(0.0, (now.all_s - self._last.all_s) - (now.own_s - self._last.own_s)) / passed_s
        self._last = now
        threads = min(self._most, max(1, round(self._cores - others)))
        if threads != self._threads:
            self._threads = threads
            self._set_threads(threads)
