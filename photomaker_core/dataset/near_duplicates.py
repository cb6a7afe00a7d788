"""Near-duplicates within a group: the same photograph scaled, compressed or lightly cropped by another site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_HASH_DISTANCE: Final = 8
_HASH_SIDE: Final = 8


def difference_hash(picture: Image.Image) -> int:
    """64 bits, one per neighbour pair of the picture at 9 x 8 in grey: 1 where it gets brighter to the right.

    dHash (Krawetz 2013): stays nearly the same when a picture is scaled, compressed or brightened.
    """
    small = picture.convert("L").resize((_HASH_SIDE + 1, _HASH_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.int16)
    bits = (grey[:, 1:] > grey[:, :-1]).flatten()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hash_distance(first: int, second: int) -> int:
    """The number of bits, of 64, that differ."""
    return (first ^ second).bit_count()


def near_duplicates(
    hashes: Sequence[int],
    embeddings: NDArray[np.float32],
    areas_px: Sequence[int],
    max_embedding_distance: float,
    max_hash_distance: int = MAX_HASH_DISTANCE,
) -> dict[int, int]:
    """Which pictures repeat another of the group: index -> the index of the one that is kept.

    Two are the same when their hashes differ in at most ``max_hash_distance`` bits *and* their ID embeddings lie at
    most ``max_embedding_distance`` apart: a studio's backdrop gives many people like hashes, and one person may look
    alike in two pictures. The largest is kept, of equal ones the first.
    """
    order = sorted(range(len(hashes)), key=lambda index: (-areas_px[index], index))
    kept: list[int] = []
    repeated: dict[int, int] = {}
    for index in order:
        for other in kept:
            if hash_distance(hashes[index], hashes[other]) <= max_hash_distance and (
                float(np.linalg.norm(embeddings[index] - embeddings[other])) <= max_embedding_distance
            ):
                repeated[index] = other
                break
        else:
            kept.append(index)
    return repeated
