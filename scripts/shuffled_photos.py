"""Puts names on the wrong photographs and counts what the ID check finds.

    python -m scripts.shuffled_photos DIR     # DIR/NAME/photo; needs the extra faces

Groups of three photos and more are people; all other photos are strangers. In each shuffle 10 to 30 % of the photos
move into a group that is not theirs, at most so many that every group keeps a majority of its own.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stages.verify import OTHER_PERSON, VerifyStage
from photomaker_core.images.picture_reading import read_picture
from photomaker_core.models.face_recognition import DlibFaces, Face
from photomaker_core.models.face_verification import DEFAULT_FACTOR, literal_outliers

SHUFFLES: Final = 20
_MIN_GROUP: Final = 3
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True, slots=True)
class Photo:
    """``owner`` is who the photo shows."""

    path: Path
    owner: str
    faces: tuple[Face, ...]


def main() -> None:
    """Print one line a shuffle, and the totals."""
    finder = DlibFaces()
    photos = [
        Photo(path, path.parent.name, tuple(finder.find(read_picture(path.read_bytes()))))
        for path in sorted(Path(sys.argv[1]).rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    sizes = Counter(photo.owner for photo in photos)
    people = [name for name, count in sizes.items() if count >= _MIN_GROUP]
    stage = VerifyStage(
        finder.same_person_mean,
        finder.same_person_deviation,
        DEFAULT_FACTOR,
        max_hash_distance=0,
        duplicate_share=0,
        min_pictures=1,
    )
    totals: Counter[str] = Counter()
    for number in range(SHUFFLES):
        names, share = shuffled(photos, people, Random(f"shuffle {number}"))
        placed = [(name, photo) for name, photo in zip(names, photos, strict=True) if name is not None]
        counted = _judged(stage, placed)
        totals.update(counted)
        print(f"{number:2}  {share:4.0%} wrong  " + "  ".join(f"{name}: {counted[name]}" for name in _COLUMNS))
    print("all             " + "  ".join(f"{name}: {totals[name]}" for name in _COLUMNS))


_COLUMNS: Final = (
    "wrong",
    "found",
    "missed",
    "right",
    "right dropped",
    "found by the paper's words",
    "right dropped by them",
)


def shuffled(photos: list[Photo], people: list[str], rng: Random) -> tuple[list[str | None], float]:
    """A name for each photo, ``None`` for strangers that stay out, and the share of wrong ones among the named."""
    names: list[str | None] = [photo.owner if photo.owner in people else None for photo in photos]
    wanted = rng.uniform(0.15, 0.3)
    order = list(range(len(photos)))
    rng.shuffle(order)
    for index in order:
        named = [place for place, name in enumerate(names) if name is not None]
        wrong = sum(names[place] != photos[place].owner for place in named)
        is_stranger = names[index] is None
        if (wrong + 1) / (len(named) + is_stranger) > wanted:
            continue
        tried = list(names)
        tried[index] = rng.choice([name for name in people if name != photos[index].owner])
        if all(_has_majority(tried, photos, name) for name in people):
            names = tried
    named = [place for place, name in enumerate(names) if name is not None]
    return names, sum(names[place] != photos[place].owner for place in named) / len(named)


def _has_majority(names: list[str | None], photos: list[Photo], person: str) -> bool:
    members = [photo for name, photo in zip(names, photos, strict=True) if name == person]
    return 2 * sum(photo.owner == person for photo in members) > len(members)


def _judged(stage: VerifyStage, placed: list[tuple[str, Photo]]) -> Counter[str]:
    ordered = sorted(placed, key=lambda pair: pair[0])
    rows = [
        PictureRow(person=name, source=str(photo.path), picture=photo.path.name, width=1, height=1, faces=photo.faces)
        for name, photo in ordered
    ]
    counted: Counter[str] = Counter()
    for row, (name, photo) in zip(stage.run(rows, 0), ordered, strict=True):
        is_wrong = photo.owner != name
        counted["wrong" if is_wrong else "right"] += 1
        dropped = row.reason == OTHER_PERSON
        counted[("found" if dropped else "missed") if is_wrong else ("right dropped" if dropped else "right kept")] += 1
    for person in {name for name, _ in ordered}:
        members = [photo for name, photo in ordered if name == person]
        for index in literal_outliers(np.stack([photo.faces[0].embedding for photo in members])):
            is_wrong = members[index].owner != person
            counted["found by the paper's words" if is_wrong else "right dropped by them"] += 1
    return counted


if __name__ == "__main__":
    main()
