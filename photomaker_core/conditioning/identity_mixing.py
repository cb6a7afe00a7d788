"""Mixing of several people into one: their ID features as one stack. Called by the bot and by the evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def blend_stacks(stacks: Sequence[Tensor], weights: Sequence[float], max_photos: int) -> Tensor:
    """Mix several people's features ([N_i, T, D] each) into one stack of at most ``max_photos`` photos.

    A person's share of the stack is their weight (PhotoMaker, identity mixing); each person with a weight
    above zero keeps at least one place, and few photos are repeated to fill a large share. A person
    alone keeps their own stack. Raises :class:`ValueError` when no weight is above zero or one is infinite.
    """
    if not all(math.isfinite(weight) for weight in weights):
        raise ValueError("every weight must be a finite number")
    wanted = [(stack, weight) for stack, weight in zip(stacks, weights, strict=True) if weight > 0]
    if not wanted:
        raise ValueError("at least one weight must be above zero")
    if len(wanted) == 1:
        return wanted[0][0]
    total = sum(weight for _, weight in wanted)
    places = _apportion([weight / total for _, weight in wanted], max(max_photos, len(wanted)))
    chosen = [
        stack[torch.arange(count) % len(stack)] for (stack, _), count in zip(wanted, places, strict=True) if count
    ]
    return torch.cat(chosen)


def _apportion(shares: list[float], places: int) -> list[int]:
    """Split ``places`` into integers that sum to it: at least one each, the rest by largest remainder."""
    ideal = [share * places for share in shares]
    counts = [max(1, int(value)) for value in ideal]
    while sum(counts) > places:
        counts[counts.index(max(counts))] -= 1
    by_need = sorted(range(len(shares)), key=lambda index: counts[index] - ideal[index])
    for index in by_need[: places - sum(counts)]:
        counts[index] += 1
    return counts
