"""Delayed subject conditioning and identity mixing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from photomaker_core.conditioning.stacking import blend_stacks, merge_step
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine


@pytest.mark.parametrize(("ratio", "steps", "expected"), [(20, 50, 10), (15, 20, 3), (50, 100, 30), (0, 50, 0)])
def test_the_merge_step_follows_the_style_strength(ratio: float, steps: int, expected: int) -> None:
    assert merge_step(ratio, steps) == expected


def test_the_text_alone_conditions_up_to_and_with_the_merge_step(tiny_model: PhotoMaker) -> None:
    conditioning = StepEngine(tiny_model).condition("a man img", None, torch.randn(2, 1, 256))
    assert conditioning.at_step(0, start_merge_step=0) is conditioning.text
    assert conditioning.at_step(1, start_merge_step=0) is conditioning.merged
    assert conditioning.at_step(10, start_merge_step=10) is conditioning.text


def test_no_negative_prompt_means_zeros_and_an_empty_one_does_not(tiny_model: PhotoMaker) -> None:
    engine = StepEngine(tiny_model)
    features = torch.randn(1, 1, 256)
    assert not engine.condition("a man img", None, features).negative.tokens.any()
    assert engine.condition("a man img", "", features).negative.tokens.any()


def test_without_an_identity_the_text_is_all_there_is(tiny_model: PhotoMaker) -> None:
    conditioning = StepEngine(tiny_model).condition("a castle", None, None)
    assert conditioning.merged is conditioning.text


@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    weights=st.lists(st.floats(0.01, 10), min_size=4, max_size=4),
    places=st.integers(1, 12),
)
def test_each_persons_share_of_the_stack_is_their_weight(sizes: list[int], weights: list[float], places: int) -> None:
    stacks = [torch.full((size, 1, 4), float(person)) for person, size in enumerate(sizes)]
    weights = weights[: len(sizes)]
    blended = blend_stacks(stacks, weights, places)
    total = max(places, len(sizes))
    assert blended.shape == (total, 1, 4)
    counts = [int((blended[:, 0, 0] == person).sum()) for person in range(len(sizes))]
    assert min(counts) >= 1
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - weight / sum(weights) * total) < len(sizes)


def test_a_weight_of_zero_leaves_a_person_out() -> None:
    other = torch.rand(2, 1, 4)
    assert torch.equal(blend_stacks([torch.zeros(2, 1, 4), other], [0, 0.3], 8), other)
    with pytest.raises(ValueError, match="above zero"):
        blend_stacks([torch.zeros(2, 1, 4)], [0], 4)


def test_settings_out_of_range_are_explained() -> None:
    for wrong in ({"steps": 0}, {"seed": -1}, {"width": 100}, {"height": 32}):
        with pytest.raises(Exception, match=r"must be|whole number"):
            GenerationSettings(**{"width": 128, "height": 128} | wrong)  # type: ignore[arg-type]
