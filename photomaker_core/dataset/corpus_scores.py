"""Compares a run on a drawn corpus with what is true of it: precision and recall of stages, purity of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from photomaker_core.dataset.boxes import intersection_over_union
from photomaker_core.dataset.dataset_config import DatasetConfig
from photomaker_core.dataset.drawn_corpus import MASKS_FOLDER, DrawnPicture, read_truth
from photomaker_core.dataset.pipeline import table_of
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stage_factory import STAGES, picture_store
from photomaker_core.dataset.stages.verify import NEAR_DUPLICATE, OTHER_PERSON, SAME_FILE
from photomaker_core.errors import UserError

_FOUND: Final = 0.5


@dataclass(frozen=True, slots=True)
class Score:
    """One line: of ``said`` cases ``right`` are true; of ``true`` cases ``right`` were said."""

    what: str
    right: int
    said: int
    true: int

    @property
    def precision(self) -> float:
        return self.right / self.said if self.said else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else 1.0


@dataclass(frozen=True, slots=True)
class CorpusScores:
    """``kinds`` counts (kind of picture, what became of it); ``mask_iou`` are the masks' IoUs with the truth."""

    scores: tuple[Score, ...]
    kinds: Counter[tuple[str, str]]
    mask_iou: tuple[float, ...]


def scores(config: DatasetConfig, corpus: Path) -> CorpusScores:
    """Judge the table of the furthest stage that is through, verification at least.

    Raises :class:`UserError` when there is none, or when the run is of something else.
    """
    through = [name for name in STAGES if table_of(config, name).batch_count is not None]
    if "verify" not in through:
        raise UserError(f"The run in {config.folder} has not verified its groups yet.")
    truth = read_truth(corpus)
    rows = table_of(config, through[-1]).rows()
    pairs = [(row, truth[row.source]) for row in rows if row.source in truth]
    if not pairs:
        raise UserError(f"Nothing in {config.folder} comes from {corpus}.")
    kinds = Counter((true.kind, row.dropped_by or "kept") for row, true in pairs)
    lines = [
        _dropped("fetch: unusable files", pairs, ("fetch",), {"corrupt", "small picture"}),
        _faces(pairs),
        _dropped("detect: no large face", pairs, ("detect",), {"nobody", "tiny face"}),
        _repeats(pairs),
        _strangers(pairs),
        _chosen(pairs),
    ]
    if "mark" in through:
        kept = [(row, true) for row, true in pairs if row.is_kept]
        groups = {row.person: (row.group_word, true.class_word) for row, true in kept}
        lines.append(_words("class word: picture", [(row.class_word, true.class_word) for row, true in kept]))
        lines.append(_words("class word: group", list(groups.values())))
    lines.append(_kept(pairs))
    return CorpusScores(tuple(lines), kinds, tuple(_overlaps(config, corpus, pairs)))


def score_table(result: CorpusScores) -> str:
    """The scores as Markdown."""
    lines = ["| stage | right | said | true | precision | recall |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {one.what} | {one.right} | {one.said} | {one.true} | {one.precision:.1%} | {one.recall:.1%} |"
        for one in result.scores
    ]
    if result.mask_iou:
        iou = np.asarray(result.mask_iou)
        lines += [
            "",
            f"Masks: IoU {iou.mean():.3f} on average, {np.median(iou):.3f} median, "
            f"{np.quantile(iou, 0.1):.3f} at the worst tenth.",
        ]
    lines += ["", "| picture | what became of it | pictures |", "| --- | --- | ---: |"]
    lines += [f"| {kind} | {end} | {number} |" for (kind, end), number in sorted(result.kinds.items())]
    return "\n".join(lines)


_Pairs = list[tuple[PictureRow, DrawnPicture]]


def _dropped(what: str, pairs: _Pairs, stages: tuple[str, ...], kinds: set[str]) -> Score:
    said = [true for row, true in pairs if row.dropped_by in stages]
    right = sum(true.kind in kinds for true in said)
    return Score(what, right, len(said), sum(true.kind in kinds for _, true in pairs))


def _faces(pairs: _Pairs) -> Score:
    """Faces that are large enough: found where one is (IoU at least 0.5)."""
    right = said = real = 0
    for row, true in pairs:
        if row.dropped_by == "fetch":
            continue
        faces = [face.box for face in row.faces]
        boxes = [box for box in (true.face, *true.others) if box is not None]
        large = [box for box in boxes if true.kind != "tiny face"]
        said += len(faces)
        right += sum(
            max((intersection_over_union(face, box) for box in boxes), default=0.0) >= _FOUND for face in faces
        )
        real += len(large)
    return Score("detect: faces", right, said, real)


def _repeats(pairs: _Pairs) -> Score:
    said = [(row, true) for row, true in pairs if row.reason.startswith((NEAR_DUPLICATE, SAME_FILE))]
    copied = {true.copy_of for _, true in pairs if true.copy_of} | {true.file for _, true in pairs if true.copy_of}
    right = sum(true.file in copied for _, true in said)
    return Score("verify: near-duplicates", right, len(said), sum(true.copy_of is not None for _, true in pairs))


def _strangers(pairs: _Pairs) -> Score:
    reached = [(row, true) for row, true in pairs if row.distance is not None]
    said = [true for row, true in reached if row.reason == OTHER_PERSON]
    right = sum(true.kind == "wrong person" for true in said)
    return Score("verify: another person", right, len(said), sum(true.kind == "wrong person" for _, true in reached))


def _chosen(pairs: _Pairs) -> Score:
    """In pictures with several faces, of those that reach the choice and show the person: the person's is taken."""
    several = [
        (row, true) for row, true in pairs if row.face is not None and true.kind == "with others" and row.is_kept
    ]
    right = sum(
        true.face is not None and intersection_over_union(row.chosen_face.box, true.face) >= _FOUND
        for row, true in several
    )
    return Score("verify: the face among several", right, len(several), len(several))


def _kept(pairs: _Pairs) -> Score:
    """The groups in the end: a kept picture is right when its chosen face is the person's."""
    kept = [(row, true) for row, true in pairs if row.is_kept]
    right = sum(
        true.face is not None and intersection_over_union(row.chosen_face.box, true.face) >= _FOUND
        for row, true in kept
    )
    belonging = {true.file for _, true in pairs if true.belongs}
    found = {true.copy_of if true.copy_of is not None else true.file for _, true in kept} & belonging
    return _GroupScore("groups: purity and recall", right, len(kept), len(belonging), len(found))


@dataclass(frozen=True, slots=True)
class _GroupScore(Score):
    """Recall counts a picture as found when it or its copy is kept."""

    found: int

    @property
    def recall(self) -> float:
        return self.found / self.true if self.true else 1.0


def _words(what: str, pairs: list[tuple[str, str]]) -> Score:
    return Score(what, sum(said == true for said, true in pairs), len(pairs), len(pairs))


def _overlaps(config: DatasetConfig, corpus: Path, pairs: _Pairs) -> Iterator[float]:
    store = picture_store(config)
    for row, true in pairs:
        path = (corpus / MASKS_FOLDER / true.file).with_suffix(".png")
        if not row.is_kept or not row.mask or not path.exists():
            continue
        mask = np.asarray(store.open_mask(row.mask)) > 127
        with Image.open(path) as whole:
            real = np.asarray(whole.crop(row.crop)) > 127
        either = (mask | real).sum()
        yield float((mask & real).sum() / either) if either else 1.0
