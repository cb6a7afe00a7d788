"""A set of drawn portraits with their identities, scenes and masks, cached on disk.

Training and evaluation read it. Identity ``n`` is the same person in every set, so held-out people
are simply the numbers that training never used.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from photomaker_core.nano.portraits import (
    SIZE_PX,
    Identity,
    Scene,
    draw,
    random_identity,
    random_scene,
    reference_scene,
)

REFERENCES_PER_IDENTITY = 4
FIRST_HELD_OUT_IDENTITY = 1_000_000


def identity_number(number: int) -> Identity:
    return random_identity(Random(f"identity {number}"))


def scene_number(identity: int, picture: int) -> Scene:
    """The first four pictures of a person are plain reference photos, the others anything."""
    rng = Random(f"scene {identity} {picture}")
    return reference_scene(rng) if picture < REFERENCES_PER_IDENTITY else random_scene(rng)


@dataclass(frozen=True, slots=True)
class PortraitSet:
    """``pictures`` uint8 [identities, pictures, 128, 128, 3]; ``masks`` uint8 0/1 without channels."""

    first_identity: int
    pictures: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    @property
    def identity_count(self) -> int:
        return int(self.pictures.shape[0])

    @property
    def pictures_per_identity(self) -> int:
        return int(self.pictures.shape[1])

    def identity(self, index: int) -> Identity:
        return identity_number(self.first_identity + index)

    def scene(self, index: int, picture: int) -> Scene:
        return scene_number(self.first_identity + index, picture)


def portrait_set(cache: Path, identities: int, pictures: int, first_identity: int = 0) -> PortraitSet:
    """Load the set from ``cache``, drawing it first when it is not there."""
    folder = cache / f"portraits-{first_identity}-{identities}x{pictures}"
    if not (folder / "masks.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        numbers = range(first_identity, first_identity + identities)
        with multiprocessing.Pool() as pool:
            drawn = pool.map(partial(_draw_identity, pictures=pictures), numbers, chunksize=16)
        np.save(folder / "pictures.npy", np.stack([one for one, _ in drawn]))
        np.save(folder / "masks.npy", np.stack([one for _, one in drawn]))
    return PortraitSet(
        first_identity,
        np.load(folder / "pictures.npy", mmap_mode="r"),
        np.load(folder / "masks.npy", mmap_mode="r"),
    )


def _draw_identity(number: int, pictures: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    identity = identity_number(number)
    images = np.empty((pictures, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    masks = np.empty((pictures, SIZE_PX, SIZE_PX), dtype=np.uint8)
    for picture in range(pictures):
        image, mask = draw(identity, scene_number(number, picture))
        images[picture] = np.asarray(image)
        masks[picture] = np.asarray(mask) // 255
    return images, masks
