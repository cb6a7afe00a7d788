"""The mixing study: two people in one stack, and whom the picture shows at each balance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from photomaker_core.conditioning.identity_mixing import blend_stacks
from photomaker_core.errors import UserError
from photomaker_core.evaluation.evaluation_prompts import EvaluationPrompt
from photomaker_core.evaluation.measures import ranks_among, wilson_interval
from photomaker_core.evaluation.methods import PromptSpec, drawer
from photomaker_core.evaluation.networks import MetricNetworks, known_faces
from photomaker_core.evaluation.people import Person
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings

_STACK_PHOTOS = 8
_TOP = 3


@dataclass(frozen=True, slots=True)
class MixResult:
    """Pictures at one balance: the first person's share of the stack in percent.

    ``both_in_top`` is the share of pictures in which both people are among the three nearest of all;
    ``first`` and ``second`` are the mean cosines with each of the two. ``is_bound``: the pictures are no model's, but
    blends that the portraits' own generator drew.
    """

    balance: int
    pictures: int
    both_in_top: float
    first: float
    second: float
    is_bound: bool = False


Blender = Callable[[int, int], Sequence[Image.Image]]
"""Draws some blends of two people, given by their places among all, half and half."""


def mixing_study(
    model: PhotoMaker,
    settings: GenerationSettings,
    people: Sequence[Person],
    prompts: Sequence[EvaluationPrompt],
    networks: MetricNetworks,
    *,
    pairs: int,
    balances: Sequence[int] = (0, 25, 50, 75, 100),
    blender: Blender | None = None,
) -> list[MixResult]:
    """Draw ``pairs`` random pairs of people with the same class word, each for every prompt and balance.

    What a ``blender`` draws of the same pairs comes last: how far the face network finds two people in one picture
    where they are both in it beyond doubt. Raises :class:`UserError` without a face network or without such pairs.
    """
    if networks.face is None:
        raise UserError("The mixing study needs a face network.")
    chosen = _pairs(people, pairs)
    known = known_faces(networks.face, people)
    features = [model.encode_photos(person.photos) for person in people]
    results = []
    for balance in balances:
        shown = []
        for first, second in tqdm(chosen, f"balance {balance}", unit="pair"):
            stack = blend_stacks(
                [features[first], features[second]], [balance / 100, 1 - balance / 100], max_photos=_STACK_PHOTOS
            )
            draw = drawer(model, settings, people[first].class_word, stack)
            shown.append(networks.face(draw([PromptSpec(prompt, seed) for seed, prompt in enumerate(prompts)])))
        results.append(_judged(balance, shown, chosen, known))
    if blender is not None:
        shown = [networks.face(blender(first, second)) for first, second in chosen]
        results.append(replace(_judged(50, shown, chosen, known), is_bound=True))
    return results


def _judged(balance: int, shown: Sequence[Tensor], pairs: Sequence[tuple[int, int]], known: Tensor) -> MixResult:
    """``shown`` are the pictures' embeddings [N, D], one entry a pair."""
    ranks, cosines = [], []
    for embeddings, pair in zip(shown, pairs, strict=True):
        ranks += list(zip(*(ranks_among(embeddings, known, [one] * len(embeddings)) for one in pair), strict=True))
        cosines.append(torch.stack([embeddings @ known[one] for one in pair], dim=-1))
    first, second = torch.cat(cosines).nanmean(0).tolist()
    both = sum(max(pair) < _TOP for pair in ranks) / len(ranks)
    return MixResult(balance, len(ranks), both, first, second)


def mixing_table(results: Sequence[MixResult]) -> str:
    """The study as a Markdown table."""
    head = [
        "| Share of the first | Pictures | Both in top 3 | Cosine with first | with second |",
        "|---:|---:|---:|---:|---:|",
    ]
    rows = [
        f"| {one.balance} %{', drawn by the generator' * one.is_bound} | {one.pictures} | "
        f"{_rate(one)} | {one.first:.2f} | {one.second:.2f} |"
        for one in results
    ]
    return "\n".join([*head, *rows])


def _rate(result: MixResult) -> str:
    low, high = wilson_interval(round(result.both_in_top * result.pictures), result.pictures)
    return f"{100 * result.both_in_top:.0f} % ({100 * low:.0f}–{100 * high:.0f})"


def _pairs(people: Sequence[Person], count: int) -> list[tuple[int, int]]:
    alike = [
        (one, other)
        for one, other in combinations(range(len(people)), 2)
        if people[one].class_word == people[other].class_word
    ]
    if not alike:
        raise UserError("The mixing study needs two people with the same class word.")
    return Random(0).sample(alike, min(count, len(alike)))
