"""Delayed subject conditioning."""

from __future__ import annotations

import pytest
import torch

from photomaker_core.conditioning.stacking import merge_step
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


def test_settings_out_of_range_are_explained() -> None:
    for wrong in ({"steps": 0}, {"seed": -1}, {"width": 100}, {"height": 32}):
        with pytest.raises(Exception, match=r"must be|whole number"):
            GenerationSettings(**{"width": 128, "height": 128} | wrong)  # type: ignore[arg-type]
