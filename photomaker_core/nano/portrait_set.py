"""A set of drawn pictures with all that training reads of them, drawn by many processes and kept on disk.

Identity ``n`` is the same person in every set, so held-out people are simply the numbers that training never used.
``python -m photomaker_core.nano.portrait_set FOLDER IDENTITIESxPICTURES ...`` draws sets ahead of the training.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD, place_trigger
from photomaker_core.nano.attributes import ATTRIBUTES, shown_attributes
from photomaker_core.nano.captions import caption
from photomaker_core.nano.portraits import SIZE_PX, draw, face_ellipse
from photomaker_core.nano.scenes import Companion, Identity, Scene, random_identity, random_scene, reference_scene
from photomaker_core.nano.shipped_weights import NANO_BASE

REFERENCES_PER_IDENTITY: Final = 4
FIRST_HELD_OUT_IDENTITY: Final = 1_000_000
CAPTIONS_PER_PICTURE: Final = 2
PROMPT_LENGTH: Final = 77
UNSEEN: Final = -1
_FINISHED: Final = "finished"
_COMPANIONS: Final = 6000
_COMPANY: Final = (0.9, 0.075, 0.025)


def identity_number(number: int) -> Identity:
    return random_identity(Random(f"identity {number}"))


def scene_number(identity: int, picture: int) -> Scene:
    """The first four pictures of a person are plain reference photos, the others anything, also among others."""
    rng = Random(f"scene {identity} {picture}")
    if picture < REFERENCES_PER_IDENTITY:
        return reference_scene(rng)
    scene = random_scene(rng)
    others = rng.choices(range(len(_COMPANY)), _COMPANY)[0]
    if not others:
        return scene
    first = identity // FIRST_HELD_OUT_IDENTITY * FIRST_HELD_OUT_IDENTITY
    numbers = [first + rng.randrange(_COMPANIONS) for _ in range(others)]
    companions = tuple(Companion(number, identity_number(number), random_scene(rng)) for number in numbers)
    return replace(scene, companions=companions, place=rng.randint(0, others), framing="half")


@dataclass(frozen=True, slots=True, eq=False)
class PortraitSet:
    """Arrays whose first two dimensions are identities I and their pictures K.

    ``pictures`` uint8 [I, K, 128, 128, 3]; ``masks`` uint8 0/1 [I, K, 128, 128], of the person themselves;
    ``faces`` float32 [I, K, 4], the face's ellipse (x, y, rx, ry) in pixels; ``prompts`` int16 [I, K, 2, C, 77], the
    token ids of C captions that leave the person to the ID photos and of C that describe them, and ``class_tokens``
    uint8 [I, K, 2, C], where their class word stands; ``attributes`` int8 [I, K, A], values of
    :data:`~photomaker_core.nano.attributes.ATTRIBUTES` or ``UNSEEN``; ``kinds`` bool [I, K, 3]: an ID photo, dyed hair
    in a photograph, one person alone.
    """

    first_identity: int
    pictures: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    faces: NDArray[np.float32]
    prompts: NDArray[np.int16]
    class_tokens: NDArray[np.uint8]
    attributes: NDArray[np.int8]
    kinds: NDArray[np.bool_]

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


_ARRAYS: Final[dict[str, tuple[Any, tuple[int, ...]]]] = {
    "pictures": (np.uint8, (SIZE_PX, SIZE_PX, 3)),
    "masks": (np.uint8, (SIZE_PX, SIZE_PX)),
    "faces": (np.float32, (4,)),
    "prompts": (np.int16, (2, CAPTIONS_PER_PICTURE, PROMPT_LENGTH)),
    "class_tokens": (np.uint8, (2, CAPTIONS_PER_PICTURE)),
    "attributes": (np.int8, (len(ATTRIBUTES),)),
    "kinds": (np.bool_, (3,)),
}


@lru_cache(maxsize=2)
def portrait_set(work: Path, identities: int, pictures: int, first_identity: int = 0) -> PortraitSet:
    """Load the set from the folder ``work``, drawing it first when it is not there."""
    folder = _folder(work, identities, pictures, first_identity)
    if not is_drawn(work, identities, pictures, first_identity):
        folder.mkdir(parents=True, exist_ok=True)
        for name, (dtype, shape) in _ARRAYS.items():
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (identities, pictures, *shape))
        # A forked child would inherit the locks of the threads that training has started.
        context = multiprocessing.get_context("spawn")
        with context.Pool(max(1, len(os.sched_getaffinity(0)) - 1)) as pool:
            pool.map(partial(_draw_identity, folder, first_identity), range(identities), chunksize=16)
        (folder / _FINISHED).touch()
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in _ARRAYS}
    return PortraitSet(first_identity, **arrays)


def is_drawn(work: Path, identities: int, pictures: int, first_identity: int = 0) -> bool:
    """True where the set is drawn already, so that :func:`portrait_set` only loads it."""
    return (_folder(work, identities, pictures, first_identity) / _FINISHED).exists()


def tokenised(text: str) -> tuple[list[int], int]:
    """A caption's token ids [77], padded as the first text encoder has it, and where its class word stands.

    The trigger word is placed first if need be, and left out of the ids.
    """
    before, after = place_trigger(text).text.split(f" {DEFAULT_TRIGGER_WORD}", 1)
    tokenizer = _tokenizer()
    ids = tokenizer.encode(before + after).ids
    class_token = len(tokenizer.encode(before, add_special_tokens=False).ids)
    return [*ids, *([ids[-1]] * (PROMPT_LENGTH - len(ids)))], class_token


def _folder(work: Path, identities: int, pictures: int, first_identity: int) -> Path:
    return work / f"portraits-{first_identity}-{identities}x{pictures}"


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(NANO_BASE / "tokenizer" / "tokenizer.json"))


@cache
def _opened(folder: Path) -> dict[str, NDArray[Any]]:
    return {name: np.lib.format.open_memmap(folder / f"{name}.npy", "r+") for name in _ARRAYS}


def _draw_identity(folder: Path, first_identity: int, index: int) -> None:
    arrays = _opened(folder)
    number = first_identity + index
    identity = identity_number(number)
    for picture in range(arrays["pictures"].shape[1]):
        place = index, picture
        scene = scene_number(number, picture)
        image, mask = draw(identity, scene)
        arrays["pictures"][place] = np.asarray(image)
        arrays["masks"][place] = np.asarray(mask) // 255
        face = face_ellipse(scene)
        arrays["faces"][place] = face.x, face.y, face.rx, face.ry
        rng = Random(f"caption {number} {picture}")
        for describes in (0, 1):
            for version in range(CAPTIONS_PER_PICTURE):
                text = caption(identity, scene, rng, describe_identity=bool(describes))
                where = *place, describes, version
                arrays["prompts"][where], arrays["class_tokens"][where] = tokenised(text)
        shown = shown_attributes(identity, scene)
        arrays["attributes"][place] = [
            values.index(shown[name]) if name in shown else UNSEEN for name, values in ATTRIBUTES.items()
        ]
        is_dyed = scene.dyed_hair is not None and scene.medium == "photo"
        arrays["kinds"][place] = scene.is_id_photo, is_dyed, not scene.companions


if __name__ == "__main__":
    for size in sys.argv[2:]:
        portrait_set(Path(sys.argv[1]), *map(int, size.split("x")))
