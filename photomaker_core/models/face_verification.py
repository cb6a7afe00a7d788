"""Which faces of a group are one person: the paper's sum of L2 distances (arXiv 2312.04461, 4.1 and its appendix).

The paper: of each picture the face is taken that fits the group best by the summed distance of its embedding to all
others; the sums are computed again over the chosen faces, and a threshold "8 delta", delta being the standard deviation
of a group, removes pictures.

*Our reading.* Taken literally (a sum above eight times the standard deviation of the group's own sums is dropped) a
group of one person alone loses every picture, since its sums hardly differ, and in a group with strangers delta grows
with what it should find (:func:`literal_outliers`; docs/dataset.md compares). We keep the sum and the form of the
threshold but take mean and deviation from the recogniser, which knows how far two pictures of one person lie apart: a
picture goes while its sum, divided by the number of terms, is above ``mean + factor * deviation``. The worst goes first
and the sums are computed again without it, since every stranger adds to the sums of those who are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]
"""[N, D], one row a face."""

PAPER_FACTOR: Final = 8.0
DEFAULT_FACTOR: Final = 2.0
_BLOCK: Final = 512
_MOST_ROUNDS: Final = 8


def summed_distances(embeddings: Embeddings, others: Embeddings) -> NDArray[np.float64]:
    """For each embedding the sum of its L2 distances to ``others``: s_i = sum_j ||e_i - o_j||, [N].

    Computed in blocks: memory does not grow with the square of the group.
    """
    sums = np.zeros(len(embeddings), dtype=np.float64)
    for start in range(0, len(others), _BLOCK):
        block = others[start : start + _BLOCK].astype(np.float64)
        for first in range(0, len(embeddings), _BLOCK):
            rows = embeddings[first : first + _BLOCK].astype(np.float64)
            sums[first : first + _BLOCK] += np.linalg.norm(rows[:, None] - block[None], axis=2).sum(1)
    return sums


def choose_faces(pictures: Sequence[Embeddings]) -> list[int]:
    """For each picture the index of the face that fits the group best by :func:`summed_distances`.

    The first choice sums over all faces of the group, as the paper does; then, while choices change, over the chosen
    faces of the other pictures alone. Every picture has at least one face.
    """
    everybody = np.concatenate(list(pictures))
    chosen = [int(summed_distances(faces, everybody).argmin()) for faces in pictures]
    several = [index for index, faces in enumerate(pictures) if len(faces) > 1]
    for _ in range(_MOST_ROUNDS if len(pictures) > 2 else 0):
        group = np.stack([faces[index] for faces, index in zip(pictures, chosen, strict=True)])
        better = list(chosen)
        for number in several:
            others = np.delete(group, number, axis=0)
            better[number] = int(summed_distances(pictures[number], others).argmin())
        if better == chosen:
            break
        chosen = better
    return chosen


def outliers(
    embeddings: Embeddings, same_person_mean: float, same_person_deviation: float, factor: float = DEFAULT_FACTOR
) -> tuple[list[int], NDArray[np.float64]]:
    """Those who are not the group's person, worst first, and everybody's mean distance to the group when it was judged.

    While any mean distance ``s_i / (n - 1)`` over the n faces left is above ``same_person_mean + factor *
    same_person_deviation``, the largest goes (of equal ones the last).
    """
    limit = same_person_mean + factor * same_person_deviation
    sums = summed_distances(embeddings, embeddings)
    means = np.zeros(len(embeddings), dtype=np.float64)
    left = np.ones(len(embeddings), dtype=bool)
    gone: list[int] = []
    while left.sum() > 1:
        means[left] = sums[left] / (left.sum() - 1)
        worst = max(np.flatnonzero(left).tolist(), key=lambda index: (means[index], index))
        if means[worst] <= limit:
            break
        left[worst] = False
        gone.append(worst)
        sums -= summed_distances(embeddings, embeddings[worst : worst + 1])
    return gone, means


def literal_outliers(embeddings: Embeddings, factor: float = PAPER_FACTOR) -> list[int]:
    """The paper's words taken literally: pictures whose sum is above ``factor`` times the sums' standard deviation."""
    sums = summed_distances(embeddings, embeddings)
    return [int(index) for index in np.flatnonzero(sums > factor * sums.std())]
