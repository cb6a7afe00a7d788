"""LoRAs that change the text encoders: a picture depends on its own, and on nobody else's before or beside it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photomaker_core.errors import SettingsError
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.models.lora_layers import LoraWeights
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Event, Finished, ImageJob, Runner
from tests.support.text_lora import write_text_lora
from tests.support.tiny_model import CPU, GOLDEN, TINY_ADAPTER, TINY_BASE

INK: LoraWeights = (("ink", 1.0),)
LORAS: tuple[LoraWeights, ...] = ((), INK, (("ink", 0.4),), (("style", 1.0),), (("style", 0.5), ("ink", 0.4)))


@dataclass(frozen=True)
class Request:
    has_person: bool
    negative: str | None
    loras: LoraWeights

    def job(self, job_id: int) -> ImageJob:
        features = torch.randn(2, 1, 256, generator=torch.Generator().manual_seed(3)) if self.has_person else None
        how = GenerationSettings(64, 64, steps=3, start_merge_step=0, style_loras=self.loras)
        return ImageJob(job_id, "a man img" if self.has_person else "a man", self.negative, features, [how])


REQUEST = st.builds(
    Request, has_person=st.booleans(), negative=st.sampled_from([None, "blurry"]), loras=st.sampled_from(LORAS)
)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_lora(tmp_path_factory.mktemp("lora") / "ink.safetensors")


@pytest.fixture(scope="module")
def untouched(lora: Path) -> PhotoMaker:
    """A model that has drawn nothing; copies of it stand for fresh processes."""
    return load_photomaker(
        str(TINY_BASE),
        TINY_ADAPTER,
        hardware=CPU,
        style_loras={"ink": lora, "style": GOLDEN / "style.safetensors"},
    )


@pytest.fixture(scope="module")
def model(untouched: PhotoMaker) -> PhotoMaker:
    return copy.deepcopy(untouched)


def draw(runner: Runner, requests: list[Request]) -> Iterator[np.ndarray]:
    events: list[list[Event]] = [[] for _ in requests]
    for job_id, (request, told) in enumerate(zip(requests, events, strict=True)):
        runner.submit(request.job(job_id), told.append)
    while not runner.is_idle:
        runner.tick()
    for told in events:
        assert isinstance(told[-1], Finished), told[-1]
        yield np.asarray(told[-1].pictures[0]).astype(int)


@cache
def in_a_fresh_process(untouched: PhotoMaker, request: Request) -> np.ndarray:
    (picture,) = draw(Runner(StepEngine(copy.deepcopy(untouched)), max_batch=1), [request])
    return picture


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(REQUEST, min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_picture_depends_on_no_predecessor_and_no_neighbour(
    model: PhotoMaker, untouched: PhotoMaker, rounds: list[list[Request]]
) -> None:
    runner = Runner(StepEngine(model), max_batch=2)
    for requests in rounds:
        for request, picture in zip(requests, draw(runner, requests), strict=True):
            assert np.abs(picture - in_a_fresh_process(untouched, request)).max() <= 1


def test_a_lora_changes_what_the_text_encoders_give_by_its_weight(model: PhotoMaker) -> None:
    engine = StepEngine(model)
    plain, weak, strong, again = (
        engine.condition("a man", "blurry", None, loras) for loras in ((), (("ink", 0.1),), INK, ())
    )
    assert torch.equal(again.text.tokens, plain.text.tokens)
    for one, other in ((plain.text, strong.text), (plain.negative, strong.negative)):
        assert (one.tokens - other.tokens).abs().max() > 1
        assert (one.pooled - other.pooled).abs().max() > 1e-3
    near, far = ((plain.text.tokens - one.text.tokens).abs().mean() for one in (weak, strong))
    assert 0 < near < far


def test_a_lora_of_the_unet_alone_shares_the_cached_embeddings(model: PhotoMaker) -> None:
    engine = StepEngine(model)
    plain = engine.condition("a man on a cached roof", None, None)
    styled = engine.condition("a man on a cached roof", None, None, (("style", 1.0),))
    assert styled.text.tokens is plain.text.tokens


def test_one_job_with_pictures_under_several_loras_embeds_its_prompt_for_each(
    model: PhotoMaker, untouched: PhotoMaker
) -> None:
    one, other = Request(True, None, ()), Request(True, None, INK)
    job = one.job(1)
    both = ImageJob(1, job.prompt, None, job.id_features, [*job.settings, *other.job(2).settings])
    events: list[Event] = []
    runner = Runner(StepEngine(model), max_batch=2)
    runner.submit(both, events.append)
    while not runner.is_idle:
        runner.tick()
    assert isinstance(events[-1], Finished)
    for picture, request in zip(events[-1].pictures, (one, other), strict=True):
        assert np.abs(np.asarray(picture).astype(int) - in_a_fresh_process(untouched, request)).max() <= 1


def test_a_prompt_embedded_under_other_loras_is_not_drawn(model: PhotoMaker) -> None:
    engine = StepEngine(model)
    conditioning = engine.condition("a man", None, None)
    with pytest.raises(ValueError, match="other style LoRAs"):
        engine.begin(conditioning, GenerationSettings(64, 64, style_loras=INK))
    with pytest.raises(SettingsError, match="No style LoRA"):
        engine.condition("a man", None, None, (("papercut", 1.0),))
