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
from photomaker_core.nano.portraits import SIZE_PX, draw_people, face_ellipses
from photomaker_core.nano.scenes import Companion, Identity, Scene, random_identity, random_scene, reference_scene
from photomaker_core.nano.shipped_weights import NANO_BASE

REFERENCES_PER_IDENTITY: Final = 4
FIRST_HELD_OUT_IDENTITY: Final = 1_000_000
CAPTIONS_PER_PICTURE: Final = 2
MOST_PEOPLE: Final = 3
PROMPT_LENGTH: Final = 77
UNSEEN: Final = -1
NOBODY: Final = -1
_FINISHED: Final = "finished"
_COMPANIONS: Final = 6000
_COMPANY: Final = (0.62, 0.28, 0.1)


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

    Up to P people stand in a picture, from left to right; of the arrays with a dimension P those who are not there
    have ``NOBODY``, or a face of no size. ``people`` int32 [I, K, P], their indices in this set, which a small set may
    not hold: then they are described. ``pictures`` uint8
    [I, K, 128, 128, 3]; ``masks`` uint8 [I, K, 128, 128], 1 for the first person, 2 for the second and so on, and 0
    for the background; ``faces`` float32 [I, K, P, 4], a face's ellipse (x, y, rx, ry) in pixels. ``prompts`` int16
    [I, K, 2, C, 77] are the token ids of C captions that leave people to their ID photos (in the first of them
    everybody, in the others this person alone) and of C that describe them, and ``class_tokens`` int8 [I, K, 2, C, P]
    where the class words of those stand who are left to their ID photos. ``attributes`` int8 [I, K, A], values of
    :data:`~photomaker_core.nano.attributes.ATTRIBUTES` or ``UNSEEN``; ``kinds`` bool [I, K, 3]: an ID photo, dyed hair
    in a photograph, one person alone.
    """

    first_identity: int
    people: NDArray[np.int32]
    pictures: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    faces: NDArray[np.float32]
    prompts: NDArray[np.int16]
    class_tokens: NDArray[np.int8]
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
    "people": (np.int32, (MOST_PEOPLE,)),
    "pictures": (np.uint8, (SIZE_PX, SIZE_PX, 3)),
    "masks": (np.uint8, (SIZE_PX, SIZE_PX)),
    "faces": (np.float32, (MOST_PEOPLE, 4)),
    "prompts": (np.int16, (2, CAPTIONS_PER_PICTURE, PROMPT_LENGTH)),
    "class_tokens": (np.int8, (2, CAPTIONS_PER_PICTURE, MOST_PEOPLE)),
    "attributes": (np.int8, (len(ATTRIBUTES),)),
    "kinds": (np.bool_, (3,)),
}


@lru_cache(maxsize=2)
def portrait_set(work: Path, identities: int, pictures: int, first_identity: int = 0) -> PortraitSet:
    """Load the set from the folder ``work``, drawing it first when it is not there."""
    folder = _folder(work, identities, pictures, first_identity)
    if not is_drawn(work, identities, pictures, first_identity):
        _make_arrays(folder, identities, pictures)
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


def tokenised(text: str) -> tuple[list[int], list[int]]:
    """A caption's token ids [77], padded as the first text encoder has it, and where its triggers' class words stand.

    A trigger word is placed first where there is none, and all are left out of the ids.
    """
    placed = text if f" {DEFAULT_TRIGGER_WORD}" in text else place_trigger(text).text
    parts = placed.split(f" {DEFAULT_TRIGGER_WORD}")
    tokenizer = _tokenizer()
    ids = tokenizer.encode("".join(parts)).ids
    before = ("".join(parts[: place + 1]) for place in range(len(parts) - 1))
    class_tokens = [len(tokenizer.encode(one, add_special_tokens=False).ids) for one in before]
    return [*ids, *([ids[-1]] * (PROMPT_LENGTH - len(ids)))], class_tokens


def _folder(work: Path, identities: int, pictures: int, first_identity: int) -> Path:
    return work / f"portraits-{first_identity}-{identities}x{pictures}"


def _make_arrays(folder: Path, identities: int, pictures: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (dtype, shape) in _ARRAYS.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (identities, pictures, *shape))


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
        image, cast = draw_people(identity, scene)
        arrays["pictures"][place] = np.asarray(image)
        arrays["masks"][place] = sum((one + 1) * (np.asarray(shown.mask) // 255) for one, shown in enumerate(cast))
        faces = [(face.x, face.y, face.rx, face.ry) for face in face_ellipses(scene)]
        arrays["faces"][place][: len(faces)] = faces
        numbers = [one.number - first_identity for one in scene.companions]
        numbers.insert(scene.place, index)
        arrays["people"][place] = NOBODY
        arrays["people"][place][: len(numbers)] = numbers
        arrays["class_tokens"][place] = NOBODY
        _write_captions(arrays, place, identity, scene, Random(f"caption {number} {picture}"))
        shown_here = shown_attributes(identity, scene)
        arrays["attributes"][place] = [
            values.index(shown_here[name]) if name in shown_here else UNSEEN for name, values in ATTRIBUTES.items()
        ]
        is_dyed = scene.dyed_hair is not None and scene.medium == "photo"
        arrays["kinds"][place] = scene.is_id_photo, is_dyed, not scene.companions


def _write_captions(
    arrays: dict[str, NDArray[Any]], place: tuple[int, int], identity: Identity, scene: Scene, rng: Random
) -> None:
    for describes in (False, True):
        for version in range(CAPTIONS_PER_PICTURE):
            everybody = version == 0 and arrays["people"][place].max() < len(arrays["people"])
            text = caption(identity, scene, rng, describe_identity=describes, everybody_meant=everybody)
            where = *place, int(describes), version
            arrays["prompts"][where], class_tokens = tokenised(text)
            first = scene.place if len(class_tokens) == 1 else 0
            if not describes:
                arrays["class_tokens"][where][first : first + len(class_tokens)] = class_tokens


if __name__ == "__main__":
    for size in sys.argv[2:]:
        portrait_set(Path(sys.argv[1]), *map(int, size.split("x")))
