"""The seeds of batches: functions of the run's seed and the step alone, so that a resumed run takes the same steps."""

from __future__ import annotations

import hashlib


def batch_seed(seed: int, step: int, number: int) -> int:
    """The seed of batch ``number`` of a step: another for every batch of every step and run."""
    digest = hashlib.sha256(f"{seed} {step} {number}".encode()).digest()
    return int.from_bytes(digest[:7])
