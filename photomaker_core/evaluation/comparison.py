"""Runs the comparison: every method draws every person for every prompt; the networks measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from photomaker_core.evaluation.evaluation_prompts import EvaluationPrompt
from photomaker_core.evaluation.measures import (
    frechet_distance,
    mean_cosine,
    pair_distance,
    paired_cosine,
    ranks_among,
)
from photomaker_core.evaluation.methods import Method, PromptSpec
from photomaker_core.evaluation.networks import MetricNetworks, PictureEmbedder
from photomaker_core.evaluation.people import Person

LEAST_FID_PICTURES = 2000
_EMBEDDING_BATCH = 32


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture of an evaluation: who, what was asked, what came."""

    person: int
    wish: PromptSpec
    picture: Image.Image


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One row of the comparison.

    Scores are named as in the paper's Table 1 and are in percent, but for FID, Face Div. and ``Speed (s)``: the median
    seconds to personalise and draw one picture. ``by_attribute`` has (right, asked) for every attribute, and
    ``identified`` says for each picture whether its person was found first, where that is measured.
    """

    name: str
    scores: dict[str, float]
    by_attribute: dict[str, tuple[int, int]]
    drawn: list[Drawn]
    identified: list[bool]

    @property
    def rates(self) -> dict[str, tuple[int, int]]:
        """The scores that are shares, as (right, asked)."""
        counts = {"ID top-1": (sum(self.identified), len(self.identified))}
        counts["Attributes"] = (
            sum(right for right, _ in self.by_attribute.values()),
            sum(asked for _, asked in self.by_attribute.values()),
        )
        return {name: count for name, count in counts.items() if name in self.scores}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The people and prompts to compare methods on: every method gets the same prompts and seeds."""

    people: Sequence[Person]
    prompts: Sequence[EvaluationPrompt]
    pictures_per_prompt: int
    networks: MetricNetworks
    first_seed: int = 0

    def wishes(self, person: int) -> list[PromptSpec]:
        count = len(self.prompts) * self.pictures_per_prompt
        return [
            PromptSpec(self.prompts[index % len(self.prompts)], self.first_seed + person * count + index)
            for index in range(count)
        ]


def compare(comparison: Comparison, methods: Iterable[Callable[[], Method]]) -> list[MethodResult]:
    """Run every method; each is made when its turn comes, so that one model is in memory at a time."""
    return [_run(comparison, make()) for make in methods]


def measure(comparison: Comparison, name: str, drawn: list[Drawn]) -> MethodResult:
    """Score some pictures.

    FID is left out below ``LEAST_FID_PICTURES`` on either side, where it says more about the numbers than about the
    pictures; ``FID real`` is that between two halves of the people's own photos.
    """
    networks, people = comparison.networks, comparison.people
    pictures = [one.picture for one in drawn]
    scores: dict[str, float] = {}
    if networks.text and networks.picture:
        asked = networks.text([one.wish.prompt.about(people[one.person].class_word) for one in drawn])
        shown = _embed(networks.picture, pictures)
        scores["CLIP-T"] = 100 * paired_cosine(asked, shown)
        scores["CLIP-I"] = 100 * _likeness(shown, networks.picture, drawn, people)
    if networks.dino:
        scores["DINO"] = 100 * _likeness(_embed(networks.dino, pictures), networks.dino, drawn, people)
    if networks.face:
        faces = _embed(networks.face, pictures)
        scores["Face Sim."] = 100 * _likeness(faces, networks.face, drawn, people)
    if networks.perceptual and networks.face_crop:
        scores["Face Div."] = 100 * _diversity(networks.perceptual, networks.face_crop, drawn)
    photos = [photo for person in people for photo in person.photos]
    if networks.inception and min(len(pictures), len(photos)) >= LEAST_FID_PICTURES:
        real = _embed(networks.inception, photos)
        scores["FID"] = frechet_distance(_embed(networks.inception, pictures), real)
        scores["FID real"] = frechet_distance(real[::2], real[1::2])
    identified: list[bool] = []
    if networks.face and len(people) > 1:
        means = torch.stack([_mean_direction(networks.face(person.photos)) for person in people])
        ranks = ranks_among(faces, means, [one.person for one in drawn])
        identified = [rank == 0 for rank in ranks]
        scores["ID top-1"] = 100 * sum(identified) / len(identified)
    by_attribute: dict[str, tuple[int, int]] = {}
    if networks.attributes:
        by_attribute = _attributes(networks.attributes(pictures), drawn)
        asked_for = sum(asked for _, asked in by_attribute.values())
        if asked_for:
            scores["Attributes"] = 100 * sum(right for right, _ in by_attribute.values()) / asked_for
    return MethodResult(name, scores, by_attribute, drawn, identified)


def _run(comparison: Comparison, method: Method) -> MethodResult:
    drawn: list[Drawn] = []
    seconds = []
    for index, person in enumerate(tqdm(comparison.people, method.name, unit="person")):
        started = time.perf_counter()
        draw = method.personalise(person)
        wishes = comparison.wishes(index)
        pictures = draw(wishes[:1])
        seconds.append(time.perf_counter() - started)
        pictures += draw(wishes[1:])
        drawn += [Drawn(index, wish, picture) for wish, picture in zip(wishes, pictures, strict=True)]
    result = measure(comparison, method.name, drawn)
    result.scores["Speed (s)"] = median(seconds)
    return result


def _embed(network: PictureEmbedder, pictures: Sequence[Image.Image]) -> Tensor:
    return torch.cat(
        [network(pictures[start : start + _EMBEDDING_BATCH]) for start in range(0, len(pictures), _EMBEDDING_BATCH)]
    )


def _of(person: int, drawn: Sequence[Drawn]) -> list[int]:
    return [index for index, one in enumerate(drawn) if one.person == person]


def _likeness(shown: Tensor, network: PictureEmbedder, drawn: Sequence[Drawn], people: Sequence[Person]) -> float:
    """The mean over people of the mean cosine between their pictures and their ID photos."""
    values = [mean_cosine(shown[_of(index, drawn)], network(person.photos)) for index, person in enumerate(people)]
    return float(torch.tensor(values).nanmean())


def _diversity(
    network: PictureEmbedder, crop: Callable[[Image.Image], Image.Image | None], drawn: Sequence[Drawn]
) -> float:
    """The mean distance of two faces of the same person, over all pairs."""
    values = []
    for person in sorted({one.person for one in drawn}):
        faces = [face for index in _of(person, drawn) if (face := crop(drawn[index].picture))]
        if len(faces) > 1:
            values.append(pair_distance(_embed(network, faces)))
    return float(torch.tensor(values).nanmean())


def _mean_direction(embeddings: Tensor) -> Tensor:
    return torch.nn.functional.normalize(embeddings, dim=-1).nanmean(0)


def _attributes(read: Sequence[dict[str, str]], drawn: Sequence[Drawn]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for seen, one in zip(read, drawn, strict=True):
        for name, wanted in one.wish.prompt.wants.items():
            right, asked = counts.get(name, (0, 0))
            counts[name] = (right + (seen[name] == wanted), asked + 1)
    return dict(sorted(counts.items()))
