"""The formulas of the comparison, on features that some network made.

Embeddings are [N, D]; cosines and shares are in -1..1 and 0..1 (the report multiplies by 100).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def mean_cosine(one: Tensor, other: Tensor) -> float:
    """The mean cosine of every row of ``one`` with every row of ``other``; rows of NaN do not count."""
    first, second = (functional.normalize(_finite(rows), dim=-1) for rows in (one, other))
    return float((first @ second.T).mean()) if len(first) and len(second) else float("nan")


def mean_direction(embeddings: Tensor) -> Tensor:
    """The direction [D] that rows point to together; rows of NaN do not count."""
    return functional.normalize(functional.normalize(embeddings, dim=-1).nanmean(0), dim=-1)


def paired_cosine(one: Tensor, other: Tensor) -> float:
    """The mean cosine of row i of ``one`` with row i of ``other``."""
    return float(functional.cosine_similarity(one, other).mean())


def ranks_among(embeddings: Tensor, people: Tensor, own: Sequence[int]) -> list[int]:
    """The rank of each picture's person among ``people`` [P, D], ordered by cosine; 0 is the nearest.

    A row of NaN (no face was found) ranks last.
    """
    cosines = functional.normalize(embeddings, dim=-1) @ functional.normalize(people, dim=-1).T
    ranks = []
    for row, index in zip(cosines, own, strict=True):
        ranks.append(len(people) - 1 if row.isnan().any() else int((row > row[index]).sum()))
    return ranks


def pair_distance(features: Tensor) -> float:
    """The mean squared distance over all pairs of rows: LPIPS on LPIPS features."""
    rows = _finite(features).double()
    count = len(rows)
    if count < 2:
        return float("nan")
    about_mean = (rows - rows.mean(0)).square().sum()
    return float(2 * about_mean / (count - 1))


def wilson_interval(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """The interval that holds a rate of ``right`` in ``asked`` with 95 % (Wilson 1927), both ends in 0..1."""
    if asked == 0:
        return 0.0, 1.0
    rate, weight = right / asked, z * z / asked
    middle = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(rate * (1 - rate) / asked + weight / (4 * asked))
    return max(0.0, middle - half), min(1.0, middle + half)


def sign_test(first: Sequence[bool], second: Sequence[bool]) -> float:
    """The probability of so uneven a difference between paired outcomes if both were alike (McNemar's exact test)."""
    gained = sum(not one and other for one, other in zip(first, second, strict=True))
    lost = sum(one and not other for one, other in zip(first, second, strict=True))
    discordant = gained + lost
    tail = sum(math.comb(discordant, count) for count in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / float(2**discordant))


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """The Fréchet distance of two Gaussians fitted to the rows (Heusel et al. 2017, FID)."""
    first, second = one.double(), other.double()
    if min(len(first), len(second)) < 2:
        return float("nan")
    means = (first.mean(0) - second.mean(0)).square().sum()
    covariances = first.T.cov(), second.T.cov()
    eigenvalues = torch.linalg.eigvals(covariances[0] @ covariances[1]).real.clamp(min=0)
    return float(means + covariances[0].trace() + covariances[1].trace() - 2 * eigenvalues.sqrt().sum())


def _finite(rows: Tensor) -> Tensor:
    return rows[rows.isfinite().all(-1)]
