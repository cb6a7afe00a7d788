"""The people that an evaluation draws: their ID photos and class words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from random import Random
from typing import Final

from PIL import Image

from photomaker_core.conditioning.person_words import CLASS_WORDS
from photomaker_core.errors import UserError
from photomaker_core.images.photo_decoding import load_photo, normalise_photo, read_photo
from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY, identity_number
from photomaker_core.nano.portraits import draw
from photomaker_core.nano.scenes import Companion, Identity, reference_scene

_DRAWN: Final = "drawn-"
_PHOTO_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to draw. ``photos`` are RGB, the first of them the best known."""

    name: str
    class_word: str
    photos: tuple[Image.Image, ...]


def load_people(folder: Path) -> list[Person]:
    """One person for each folder NAME_CLASSWORD in ``folder`` (``newton_man``), with the photos in it.

    Raises :class:`UserError` when there is none, when a folder's class word is unknown or when it is empty.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder of people at {folder}.")
    people = [_load_person(one) for one in sorted(folder.iterdir()) if one.is_dir()]
    if not people:
        raise UserError(f"{folder} holds no people. Make one folder for each, such as {folder / 'newton_man'}.")
    return people


def drawn_people(count: int, photos: int, first: int = FIRST_HELD_OUT_IDENTITY) -> list[Person]:
    """Procedural people that no training has seen, with ``photos`` plain photos each."""
    return [_drawn_person(first + index, photos) for index in range(count)]


def drawn_number(person: Person) -> int:
    """The number of somebody of :func:`drawn_people`; raises :class:`UserError` for anybody else."""
    if not person.name.startswith(_DRAWN):
        raise UserError(f"{person.name} is in photographs, and cannot be drawn by the portraits' generator.")
    return int(person.name.removeprefix(_DRAWN))


def drawn_blends(first: int, second: int, pictures: int) -> list[Image.Image]:
    """Plain portraits of people half way between two: sizes are averaged, all else is of one or the other by chance."""
    one, other = identity_number(first), identity_number(second)
    drawn = []
    for number in range(pictures):
        rng = Random(f"blend {first} {second} {number}")
        features = {}
        for feature in fields(Identity):
            values = getattr(one, feature.name), getattr(other, feature.name)
            features[feature.name] = sum(values) / 2 if isinstance(values[0], float) else rng.choice(values)
        drawn.append(draw(replace(one, **features), reference_scene(rng))[0])
    return drawn


def drawn_together(numbers: Sequence[int], background: str, seed: int) -> Image.Image:
    """A photograph of several procedural people side by side, from left to right."""
    rng = Random(f"together {seed}")
    first, *others = (replace(reference_scene(rng), hat="none", glasses="none", background=background) for _ in numbers)
    companions = tuple(
        Companion(number, identity_number(number), scene) for number, scene in zip(numbers[1:], others, strict=True)
    )
    return draw(identity_number(numbers[0]), replace(first, companions=companions, framing="half"))[0]


def _load_person(folder: Path) -> Person:
    name, _, class_word = folder.name.rpartition("_")
    if class_word not in CLASS_WORDS or not name:
        raise UserError(
            f"The folder {folder} must be called NAME_CLASSWORD, with one of: {', '.join(sorted(CLASS_WORDS))}."
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PHOTO_SUFFIXES)
    if not paths:
        raise UserError(f"There are no photos in {folder}.")
    photos = tuple(load_photo(normalise_photo(read_photo(path), path.name)) for path in paths)
    return Person(re.sub(r"[^\w-]+", "-", name), class_word, photos)


def _drawn_person(number: int, photos: int) -> Person:
    identity = identity_number(number)
    rng = Random(f"ID photos {number}")
    pictures = [draw(identity, reference_scene(rng))[0] for _ in range(photos)]
    return Person(f"{_DRAWN}{number}", identity.class_word, tuple(pictures))
