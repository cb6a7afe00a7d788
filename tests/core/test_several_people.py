"""Several people from prompt to picture: each their own tokens; test_regions.py tests where they are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from photomaker_core.conditioning.stacking import Conditioning
from photomaker_core.errors import PromptError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.regions import Box, BoxRegions, Regions, equal_shares, layout_named
from photomaker_core.sampling.step_engine import StepEngine

SETTINGS = GenerationSettings(width=64, height=64, steps=4, style_strength_ratio=25)
PROMPT = "a man img and a woman img at the beach"


def _stacks(model: PhotoMaker, *counts: int) -> list[Tensor]:
    return [
        torch.randn(count, 1, model.id_encoder.width, generator=torch.Generator().manual_seed(number))
        for number, count in enumerate(counts)
    ]


def _drawn(
    engine: StepEngine, conditionings: Sequence[Conditioning], regions: Sequence[Regions | None]
) -> list[Tensor]:
    generations = [
        engine.begin(one, replace(SETTINGS, seed=seed), regions=where)
        for seed, (one, where) in enumerate(zip(conditionings, regions, strict=True))
    ]
    while not generations[0].is_done:
        engine.step(generations)
    return [generation.latents for generation in generations]


def test_each_person_has_a_span_of_their_own(tiny_model: PhotoMaker) -> None:
    engine = StepEngine(tiny_model)
    stacks = _stacks(tiny_model, 2, 3)
    found = engine.condition(PROMPT, None, stacks)
    assert [person.class_word for person in found.people] == ["man", "woman"]
    assert [len(person.merged) for person in found.people] == [2, 3]
    assert found.people[0].merged.stop <= found.people[1].merged.start
    assert found.photos_used == (2, 3)
    swapped = engine.condition(PROMPT, None, [stacks[1], stacks[0]])
    assert not torch.equal(found.merged.tokens, swapped.merged.tokens)
    assert torch.equal(found.text.tokens, swapped.text.tokens)


@pytest.mark.parametrize(
    "prompt", ["a man img at the beach", "a man img, a woman img and a boy img", "a man", "img and img"]
)
def test_as_many_triggers_as_people_or_a_sentence(tiny_model: PhotoMaker, prompt: str) -> None:
    with pytest.raises(PromptError):
        StepEngine(tiny_model).condition(prompt, None, _stacks(tiny_model, 1, 1))


def test_one_stack_in_a_list_is_that_stack(tiny_model: PhotoMaker) -> None:
    engine = StepEngine(tiny_model)
    (stack,) = _stacks(tiny_model, 3)
    alone, listed = (engine.condition("a man img at the beach", None, one) for one in (stack, [stack]))
    assert torch.equal(alone.merged.tokens, listed.merged.tokens)


def test_nobodys_picture_depends_on_who_has_regions_or_a_longer_prompt(tiny_model: PhotoMaker) -> None:
    engine = StepEngine(tiny_model)
    stacks = _stacks(tiny_model, 2, 2)
    conditionings = [
        engine.condition(PROMPT, None, stacks),
        engine.condition("a man img at the beach", None, stacks[0]),
        engine.condition("a man img at the beach " + "in a red hat " * 40, "blurry", stacks[0]),
        engine.condition(PROMPT, None, stacks),
    ]
    assert len({one.merged.tokens.shape[1] for one in conditionings}) == 2
    regions: list[Regions | None] = [layout_named("side-by-side", 2), None, None, None]
    together = _drawn(engine, conditionings, regions)
    for index in range(4):
        generation = engine.begin(conditionings[index], replace(SETTINGS, seed=index), regions=regions[index])
        while not generation.is_done:
            engine.step([generation])
        assert torch.allclose(generation.latents, together[index], atol=2e-4)


def test_a_region_changes_the_picture_and_another_layout_changes_it_otherwise(tiny_model: PhotoMaker) -> None:
    engine = StepEngine(tiny_model)
    found = engine.condition(PROMPT, None, _stacks(tiny_model, 2, 2))
    mirrored = BoxRegions((Box(0.5, 0, 1, 1), Box(0, 0, 0.5, 1)))
    pictures = [_drawn(engine, [found], [where])[0] for where in (equal_shares(2), mirrored)]
    assert not torch.allclose(*pictures, atol=1e-4)
