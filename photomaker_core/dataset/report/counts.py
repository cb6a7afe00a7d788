"""Counts for the report and the dataset card, made in one pass over a table with little memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from photomaker_core.dataset.rows import PictureRow

BINS: Final = 24


@dataclass(frozen=True, slots=True)
class Histogram:
    """Kept and dropped values counted in equal bins from ``low`` to ``high``; the end bins hold what lies beyond."""

    title: str
    unit: str
    low: float
    high: float
    kept: list[int] = field(default_factory=lambda: [0] * BINS)
    dropped: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, value: float, is_kept: bool) -> None:
        place = int((value - self.low) / (self.high - self.low) * BINS)
        (self.kept if is_kept else self.dropped)[min(max(place, 0), BINS - 1)] += 1


@dataclass(slots=True)
class Counts:
    """Totals of a table. ``reasons`` counts (stage, reason), a near-duplicate's original left out."""

    pictures: int = 0
    kept: int = 0
    people: int = 0
    kept_people: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    class_words: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    pictures_a_person: Histogram = field(default_factory=lambda: Histogram("Pictures a person, kept", "", 0, 24))
    shortest_side: Histogram = field(default_factory=lambda: Histogram("Shortest side", "px", 0, 2400))
    face_side: Histogram = field(default_factory=lambda: Histogram("Face", "px", 0, 960))
    distance: Histogram = field(default_factory=lambda: Histogram("Mean ID distance to the group", "", 0, 1.8))
    overlap: Histogram = field(default_factory=lambda: Histogram("Face inside the mask", "", 0, 1))

    @property
    def histograms(self) -> tuple[Histogram, ...]:
        return self.pictures_a_person, self.shortest_side, self.face_side, self.distance, self.overlap


def count(rows: Iterable[PictureRow]) -> Counts:
    """Count a table whose rows of one person follow each other."""
    counts = Counts()
    person: str | None = None
    of_person = 0
    for row in rows:
        if row.person != person:
            _close_person(counts, person, of_person)
            person, of_person = row.person, 0
        of_person += row.is_kept
        _add(counts, row)
    _close_person(counts, person, of_person)
    return counts


def short_reason(reason: str) -> str:
    """The reason without what is different for every picture."""
    return reason.partition(" of ")[0] if reason.startswith("near-duplicate of ") else reason


def host_of(source: str) -> str:
    """A URL's host; the tar, or "files" for what lay in a folder."""
    if "://" in source:
        return source.split("://", 1)[1].split("/", 1)[0].rpartition("@")[2].lower()
    return source.partition(":")[0] if ".tar:" in source else "files"


def _close_person(counts: Counts, person: str | None, kept: int) -> None:
    if person is None:
        return
    counts.people += 1
    counts.kept_people += kept > 0
    counts.pictures_a_person.add(kept, is_kept=kept > 0)


def _add(counts: Counts, row: PictureRow) -> None:
    counts.pictures += 1
    counts.kept += row.is_kept
    if row.width:
        counts.shortest_side.add(min(row.width, row.height), row.is_kept)
    if row.faces:
        box = row.faces[row.face or 0]
        counts.face_side.add(min(box.right - box.left, box.bottom - box.top), row.is_kept)
    if row.distance is not None:
        counts.distance.add(row.distance, row.is_kept)
    if row.mask_overlap is not None:
        counts.overlap.add(row.mask_overlap, row.is_kept)
    if row.is_kept:
        counts.class_words[row.group_word or "(none yet)"] += 1
        counts.licences[row.licence or "unknown"] += 1
        counts.hosts[host_of(row.source)] += 1
    else:
        counts.reasons[row.dropped_by, short_reason(row.reason)] += 1
