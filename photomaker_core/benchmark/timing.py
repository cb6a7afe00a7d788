"""Clock readings that wait for a device's queued work, which PyTorch hands over and does not wait for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def finish_queued_work(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def now_s(device: torch.device) -> float:
    """Seconds of a clock that is read when the device has nothing left to do."""
    finish_queued_work(device)
    return time.perf_counter()


def median_s(device: torch.device, work: Callable[[], object], times: int) -> float:
    """Median seconds of ``work``, its queued part included."""
    taken = []
    for _ in range(times):
        started_s = now_s(device)
        work()
        taken.append(now_s(device) - started_s)
    return statistics.median(taken)
