"""The study of several people in one picture: is everybody there, and in their own place?

For drawn people and the portrait judge. Every row draws the same people at the same places from the same seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from random import Random
from typing import Any, Final

import numpy as np
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from photomaker_core.conditioning.identity_mixing import blend_stacks
from photomaker_core.conditioning.trigger_placement import without_trigger
from photomaker_core.errors import UserError
from photomaker_core.evaluation.measures import ranks_among, wilson_interval
from photomaker_core.evaluation.methods import drawn_to_the_end
from photomaker_core.evaluation.networks import MetricNetworks, known_faces
from photomaker_core.evaluation.people import Person, drawn_number, drawn_together
from photomaker_core.evaluation.study_log import StudyLog
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.nano.portraits import SIZE_PX, portrait_box
from photomaker_core.nano.scenes import PLACES
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.regions import AttentionRegions, layout_named
from photomaker_core.sampling.step_engine import StepEngine

_BATCH: Final = 8
_BLENDED_PHOTOS: Final = 8


@dataclass(frozen=True, slots=True)
class GroupPicture:
    """One picture: the study's people ``group``, from left to right, at a place."""

    row: str
    group: tuple[int, ...]
    place: str
    seed: int

    @property
    def name(self) -> str:
        """What the picture's judgement is kept under."""
        return f"{self.row} | {'+'.join(map(str, self.group))} | {self.place} | {self.seed}"


def group_pictures(people: int, each: int, count: int) -> list[GroupPicture]:
    """``count`` random groups of ``each`` of so many ``people`` for every row; everybody is drawn about as often."""
    rng = Random(f"groups of {each}")
    groups: list[tuple[int, ...]] = []
    while len(groups) < count:
        shuffled = rng.sample(range(people), people)
        groups += [tuple(shuffled[start : start + each]) for start in range(0, people - each + 1, each)]
    return [
        GroupPicture(row, group, PLACES[seed % len(PLACES)], seed)
        for row in ROWS
        for seed, group in enumerate(groups[:count])
    ]


def run_group_study(
    model: PhotoMaker,
    settings: GenerationSettings,
    people: Sequence[Person],
    networks: MetricNetworks,
    pictures: Sequence[GroupPicture],
    log: StudyLog,
    look: Callable[[GroupPicture, Image.Image], None] = lambda picture, drawn: None,
) -> None:
    """Draw and judge the pictures that ``log`` does not know yet; each is shown to ``look``.

    Raises :class:`UserError` without a face network.
    """
    if networks.face is None:
        raise UserError("The study of several people needs a face network: --networks portrait.")
    study = _Study(StepEngine(model), settings, people, [model.encode_photos(one.photos) for one in people])
    known = known_faces(networks.face, people)
    for row, draw in ROWS.items():
        todo = [one for one in pictures if one.row == row and one.name not in log]
        for start in tqdm(range(0, len(todo), _BATCH), row, unit="batch"):
            some = todo[start : start + _BATCH]
            judged = {}
            for picture, (drawn, notes) in zip(some, draw(study, some), strict=True):
                look(picture, drawn)
                seen = networks.face([_column(drawn, place, len(picture.group)) for place in range(len(picture.group))])
                ranks = [ranks_among(seen, known, [person] * len(seen)) for person in picture.group]
                judged[picture.name] = {"ranks": ranks, **notes}
            log.add(judged)


def group_table(pictures: Sequence[GroupPicture], log: StudyLog) -> str:
    """The judgements as a Markdown table, one line a row of the study, with 95 % intervals."""
    each = len(pictures[0].group)
    everybody = "both" if each == 2 else f"all {each}"
    head = ["", "pictures", f"{everybody} in their place", "places right", f"{everybody}, anywhere", "by attention"]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for row in dict.fromkeys(one.row for one in pictures):
        judged = [log[one.name] for one in pictures if one.row == row]
        found = [np.array(one["ranks"]) == 0 for one in judged]
        in_place = [bool(one.diagonal().all()) for one in found]
        anywhere = [
            any(all(one[person, place] for person, place in enumerate(order)) for order in permutations(range(each)))
            for one in found
        ]
        places = [bool(right) for one in found for right in one.diagonal()]
        by_attention = [one["by_attention"] for one in judged if "by_attention" in one]
        seen = f"{sum(by_attention)} of {len(by_attention)}" if by_attention else ""
        cells = [row, str(len(judged)), _rate(in_place), _rate(places), _rate(anywhere), seen]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Study:
    engine: StepEngine
    settings: GenerationSettings
    people: Sequence[Person]
    stacks: Sequence[Tensor]

    def text(self, picture: GroupPicture) -> str:
        words = [f"a {self.people[one].class_word} {self.engine.model.trigger_word}" for one in picture.group]
        where = {"city": "in the city", "space": "in space", "snow": "in the snow", "sunset": "at sunset"}
        phrase = where.get(picture.place, f"{'at' if picture.place == 'beach' else 'in'} the {picture.place}")
        return f"a photo of {', '.join(words[:-1])} and {words[-1]} {phrase}"


_Drawn = Iterator[tuple[Image.Image, Mapping[str, Any]]]


def _by_layout(study: _Study, pictures: Sequence[GroupPicture]) -> _Drawn:
    return _drawn(study, pictures, by_layout=True)


def _by_attention(study: _Study, pictures: Sequence[GroupPicture]) -> _Drawn:
    return _drawn(study, pictures, by_layout=False)


def _blended(study: _Study, pictures: Sequence[GroupPicture]) -> _Drawn:
    def blend(group: tuple[int, ...]) -> list[Tensor]:
        stacks = [study.stacks[one] for one in group]
        return [blend_stacks(stacks, [1.0] * len(group), max_photos=_BLENDED_PHOTOS)] * len(group)

    return _drawn(study, pictures, by_layout=True, stacks=blend)


def _by_text(study: _Study, pictures: Sequence[GroupPicture]) -> _Drawn:
    return _drawn(study, pictures, by_layout=False, stacks=lambda group: None)


def _real(study: _Study, pictures: Sequence[GroupPicture]) -> _Drawn:
    for picture in pictures:
        numbers = [drawn_number(study.people[one]) for one in picture.group]
        yield drawn_together(numbers, picture.place, picture.seed), {}


def _drawn(
    study: _Study,
    pictures: Sequence[GroupPicture],
    *,
    by_layout: bool,
    stacks: Callable[[tuple[int, ...]], list[Tensor] | None] | None = None,
) -> _Drawn:
    engine, generations = study.engine, []
    for picture in pictures:
        features = [study.stacks[one] for one in picture.group] if stacks is None else stacks(picture.group)
        text = study.text(picture) if features is not None else without_trigger(study.text(picture))
        regions = layout_named("side-by-side", len(picture.group)) if by_layout else None
        settings = replace(study.settings, seed=picture.seed)
        generations.append(engine.begin(engine.condition(text, None, features), settings, regions=regions))
    for drawn, generation in zip(drawn_to_the_end(engine, generations), generations, strict=True):
        watched = not by_layout and generation.regions is not None
        yield drawn, {"by_attention": isinstance(generation.regions, AttentionRegions)} if watched else {}


ROWS: Final[Mapping[str, Callable[[_Study, Sequence[GroupPicture]], _Drawn]]] = {
    "layout side by side": _by_layout,
    "regions by attention, the default": _by_attention,
    "a blend of them in every place": _blended,
    "text alone": _by_text,
    "real drawings": _real,
}
"""The ways of drawing several people that are compared, each called with what it draws in one go."""


def _column(picture: Image.Image, place: int, people: int) -> Image.Image:
    """The part of the picture where a person stands, as a portrait; what lies beyond repeats its border."""
    scale = picture.width / SIZE_PX
    left, top, right, bottom = (round(edge * scale) for edge in portrait_box(place, people))
    rows = np.arange(top, bottom).clip(0, picture.height - 1)
    columns = np.arange(left, right).clip(0, picture.width - 1)
    return Image.fromarray(np.asarray(picture.convert("RGB"))[rows[:, None], columns])


def _rate(outcomes: Sequence[bool]) -> str:
    low, high = wilson_interval(sum(outcomes), len(outcomes))
    return f"{100 * sum(outcomes) / len(outcomes):.0f} % ({100 * low:.0f}–{100 * high:.0f})"
