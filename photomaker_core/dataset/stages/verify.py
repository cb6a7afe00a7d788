"""Chooses the face of each picture that is the group's person, and drops repeats, strangers and groups too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np

from photomaker_core.dataset.near_duplicates import near_duplicates
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.models.face_verification import choose_faces, outliers

NAME: Final = "verify"
SAME_FILE: Final = "the same file again"
NEAR_DUPLICATE: Final = "near-duplicate"
OTHER_PERSON: Final = "another person"
SMALL_GROUP: Final = "too few pictures of this person"


@dataclass(frozen=True, slots=True)
class VerifyStage:
    """Needs whole groups in a batch. The first two numbers are the recogniser's, for two pictures of one person."""

    same_person_mean: float
    same_person_deviation: float
    outlier_factor: float
    max_hash_distance: int
    duplicate_share: float
    min_pictures: int

    def run(self, rows: list[PictureRow], index: int) -> list[PictureRow]:
        verified: list[PictureRow] = []
        for _, group in groupby(rows, key=lambda row: row.person):
            verified += self._group(list(group))
        return verified

    def _group(self, rows: list[PictureRow]) -> list[PictureRow]:
        rows = list(rows)
        self._drop_repeated_files(rows)
        kept = _choose(rows)
        for index, original in self._repeats(rows, kept).items():
            rows[index] = rows[index].drop(NAME, f"{NEAR_DUPLICATE} of {rows[original].source}")
        kept = _choose(rows)
        strangers, distances = outliers(
            _chosen_embeddings(rows, kept), self.same_person_mean, self.same_person_deviation, self.outlier_factor
        )
        for place, index in enumerate(kept):
            rows[index] = replace(rows[index], distance=float(distances[place]))
        for place in strangers:
            rows[kept[place]] = rows[kept[place]].drop(NAME, OTHER_PERSON)
        left = [index for index in kept if rows[index].is_kept]
        if len(left) < self.min_pictures:
            for index in left:
                rows[index] = rows[index].drop(NAME, SMALL_GROUP)
        return rows

    def _drop_repeated_files(self, rows: list[PictureRow]) -> None:
        seen: set[str] = set()
        for index, row in enumerate(rows):
            if row.is_kept and row.picture in seen:
                rows[index] = row.drop(NAME, SAME_FILE)
            elif row.is_kept:
                seen.add(row.picture)

    def _repeats(self, rows: Sequence[PictureRow], kept: Sequence[int]) -> dict[int, int]:
        found = near_duplicates(
            [rows[index].difference_hash for index in kept],
            _chosen_embeddings(rows, kept),
            [rows[index].width * rows[index].height for index in kept],
            self.duplicate_share * self.same_person_mean,
            self.max_hash_distance,
        )
        return {kept[place]: kept[original] for place, original in found.items()}


def _choose(rows: list[PictureRow]) -> list[int]:
    """Note the fitting face in each kept row; returns the kept rows' indices."""
    kept = [index for index, row in enumerate(rows) if row.is_kept]
    if kept:
        groups = [np.stack([face.embedding for face in rows[index].faces]) for index in kept]
        for index, face in zip(kept, choose_faces(groups), strict=True):
            rows[index] = replace(rows[index], face=face)
    return kept


def _chosen_embeddings(
    rows: Sequence[PictureRow], kept: Sequence[int]
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    if not kept:
        return np.zeros((0, 1), dtype=np.float32)
    return np.stack([rows[index].chosen_face.embedding for index in kept])
