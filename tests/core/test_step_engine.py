"""The step engine: a picture is its own, whoever shares its steps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from photomaker_core.errors import SettingsError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.plans import PLANS_BY_NAME
from photomaker_core.models.deep_cache import deep_features_of, shallow_forward
from photomaker_core.models.text_encoders import TextEmbedding, TextEmbeddingCache
from photomaker_core.sampling.generation import Branch, Generation, GenerationSettings, Img2ImgInit
from photomaker_core.sampling.schedulers import SCHEDULER_NAMES
from photomaker_core.sampling.step_engine import StepEngine, _Row
from tests.support.latents import assert_as_alone

SMALL = {"width": 64, "height": 64}


@pytest.fixture(scope="module")
def engine(tiny_model: PhotoMaker) -> StepEngine:
    return StepEngine(tiny_model)


def begin(engine: StepEngine, prompt: str = "a man img", **how: object) -> Generation:
    features = torch.randn(2, 1, 256, generator=torch.Generator().manual_seed(3))
    conditioning = engine.condition(prompt, None, features)
    return engine.begin(conditioning, GenerationSettings(**SMALL | {"steps": 4} | how))  # type: ignore[arg-type]


def run_alone(engine: StepEngine, generation: Generation) -> torch.Tensor:
    while not generation.is_done:
        engine.step([generation])
    return generation.latents


@pytest.mark.parametrize("scheduler", SCHEDULER_NAMES)
def test_every_scheduler_draws_and_its_seed_reproduces_the_picture(engine: StepEngine, scheduler: str) -> None:
    first, second, other = (begin(engine, scheduler=scheduler, seed=seed) for seed in (5, 5, 6))
    latents = run_alone(engine, first)
    assert latents.isfinite().all()
    assert torch.equal(latents, run_alone(engine, second))
    assert not torch.allclose(latents, run_alone(engine, other))
    picture = engine.finish(first)
    assert picture.size == (64, 64)
    assert np.asarray(picture).std() > 0


JOB = st.fixed_dictionaries(
    {
        "scheduler": st.sampled_from(SCHEDULER_NAMES),
        "steps": st.integers(1, 5),
        "guidance_scale": st.sampled_from([0.0, 1.0, 3.0, 7.5]),
        "guidance_rescale": st.sampled_from([0.0, 0.7]),
        "guidance_interval": st.sampled_from([(0.0, 1.0), (0.2, 0.7)]),
        "guidance_every": st.integers(1, 3),
        "cache_every": st.integers(1, 3),
        "seed": st.integers(0, 2**31 - 1),
        "style_strength_ratio": st.sampled_from([0.0, 20.0, 50.0]),
        "prompt": st.sampled_from(["a man img", "a woman img by the sea"]),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs=st.lists(JOB, min_size=2, max_size=4), joins=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_picture_does_not_depend_on_its_neighbours(
    engine: StepEngine, jobs: list[dict[str, object]], joins: list[int]
) -> None:
    alone = [run_alone(engine, begin(engine, **job)) for job in jobs]  # type: ignore[arg-type]
    together = [begin(engine, **job) for job in jobs]  # type: ignore[arg-type]
    for tick in itertools.count():
        active = [one for one, join in zip(together, joins, strict=False) if join <= tick and not one.is_done]
        if not active and tick > max(joins):
            break
        engine.step(active)
    for generation, expected in zip(together, alone, strict=True):
        assert_as_alone(generation.latents, expected)


@pytest.mark.parametrize("scheduler", SCHEDULER_NAMES)
def test_a_picture_to_start_from_is_kept_as_far_as_the_strength_says(engine: StepEngine, scheduler: str) -> None:
    conditioning = engine.condition("a man img", None, torch.zeros(1, 1, 256))
    how = GenerationSettings(**SMALL, steps=10, scheduler=scheduler)  # type: ignore[arg-type]
    picture = Image.effect_mandelbrot((96, 64), (-2, -1.5, 1, 1.5), 50)
    before = engine.encode(picture, 64, 64)
    assert before.shape == (1, 4, 8, 8)
    distances = []
    for strength, steps in ((0.1, 1), (0.5, 5), (1.0, 10)):
        generation = engine.begin(conditioning, how, start=Img2ImgInit(picture, strength))
        assert len(generation.scheduler.timesteps) - generation.steps_done == steps
        distances.append(float((run_alone(engine, generation) - before).abs().mean()))
    assert distances[0] < distances[1] < distances[2]


def test_the_first_guided_step_of_a_picture_that_starts_late_computes_the_negative(engine: StepEngine) -> None:
    how = GenerationSettings(**SMALL, steps=8, guidance_every=2, start_merge_step=0)  # type: ignore[arg-type]
    start = Img2ImgInit(Image.new("RGB", (64, 64), "red"), 0.4)
    generation = engine.begin(engine.condition("a man img", None, torch.zeros(1, 1, 256)), how, start=start)
    computed = []
    while not generation.is_done:
        computed.append((generation.steps_done, generation.needs_negative))
        engine.step([generation])
    assert computed == [(5, True), (6, True), (7, False)]


def test_steps_are_drawn_whole_where_the_unet_is_moved_about(
    engine: StepEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert begin(engine, cache_every=3).settings.cache_every == 3
    monkeypatch.setattr(engine.model, "plan", PLANS_BY_NAME["model-offload"])
    assert begin(engine, cache_every=3).settings.cache_every == 1


def test_a_strength_out_of_range_is_explained() -> None:
    for strength in (0.0, 1.5):
        with pytest.raises(SettingsError, match="up to 1"):
            Img2ImgInit(Image.new("RGB", (64, 64)), strength)


def test_pictures_of_different_size_cannot_share_a_step(engine: StepEngine) -> None:
    with pytest.raises(ValueError, match="cannot share"):
        engine.step([begin(engine), begin(engine, width=96)])


def test_a_finished_generation_cannot_be_stepped(engine: StepEngine) -> None:
    generation = begin(engine, steps=1)
    run_alone(engine, generation)
    with pytest.raises(ValueError, match="done"):
        engine.step([generation])


def test_an_unfinished_generation_gives_a_preview(engine: StepEngine) -> None:
    generation = begin(engine)
    engine.step([generation])
    assert engine.finish(generation).size == (64, 64)


def test_the_identity_changes_the_picture_only_after_the_merge_step(engine: StepEngine) -> None:
    settings = GenerationSettings(**SMALL, steps=4, start_merge_step=1)  # type: ignore[arg-type]
    one, two = (
        engine.begin(engine.condition("a man img", None, torch.full((1, 1, 256), value)), settings)
        for value in (-1.0, 1.0)
    )
    for is_merged in (False, False, True, True):
        engine.step([one])
        engine.step([two])
        assert torch.equal(one.latents, two.latents) != is_merged


def rows_of(engine: StepEngine, **how: object) -> list[int]:
    """How many rows each step gives the UNet."""
    rows: list[int] = []
    hook = engine.model.base.unet.register_forward_pre_hook(lambda _module, inputs: rows.append(len(inputs[0])))
    run_alone(engine, begin(engine, **how))
    hook.remove()
    return rows


def test_steps_without_guidance_take_one_row(engine: StepEngine) -> None:
    assert rows_of(engine, steps=4) == [2, 2, 2, 2]
    assert rows_of(engine, steps=4, guidance_scale=1.0) == [1, 1, 1, 1]
    assert rows_of(engine, steps=8, guidance_interval=(0.25, 0.75)) == [1, 1, 2, 2, 2, 2, 1, 1]
    assert rows_of(engine, steps=8, guidance_every=4, start_merge_step=1) == [2, 1, 2, 1, 2, 1, 1, 1]


def test_guidance_kept_from_an_earlier_step_changes_the_picture_slightly(engine: StepEngine) -> None:
    whole, kept, none = (
        run_alone(engine, begin(engine, steps=12, **how))  # type: ignore[arg-type]
        for how in ({}, {"guidance_every": 2}, {"guidance_scale": 1.0})
    )
    assert 0 < (whole - kept).abs().mean() < 0.5 * (whole - none).abs().mean()


def test_cached_steps_compute_the_outer_blocks_only(engine: StepEngine) -> None:
    assert rows_of(engine, steps=6, cache_every=3, start_merge_step=0) == [2, 2, 2]
    assert rows_of(engine, steps=6, cache_every=2, guidance_every=2, start_merge_step=5) == [2, 2, 2]
    assert rows_of(engine, steps=4, cache_every=4, guidance_interval=(0.5, 1.0), start_merge_step=3) == [1, 1]


def test_a_shallow_forward_around_its_own_deep_features_is_the_whole_one(engine: StepEngine) -> None:
    unet, given = engine.model.base.unet, engine._unet_inputs([_Row(begin(engine), branch) for branch in Branch])
    with torch.no_grad():
        with deep_features_of(unet) as found:
            whole = unet(given.sample, given.timesteps, given.tokens, added_cond_kwargs=given.added, return_dict=False)[
                0
            ]
        shallow = shallow_forward(unet, given.sample, given.timesteps, given.tokens, given.added, found[0])
    torch.testing.assert_close(shallow, whole, atol=1e-5, rtol=1e-5)


def test_deep_features_kept_from_an_earlier_step_change_the_picture_slightly(engine: StepEngine) -> None:
    whole, kept, other = (
        run_alone(engine, begin(engine, steps=12, **how))  # type: ignore[arg-type]
        for how in ({}, {"cache_every": 2}, {"seed": 1})
    )
    assert 0 < (whole - kept).abs().mean() < 0.5 * (whole - other).abs().mean()


def test_speed_levers_out_of_range_are_explained(engine: StepEngine) -> None:
    with pytest.raises(SettingsError, match="interval"):
        begin(engine, guidance_interval=(0.7, 0.2))
    with pytest.raises(SettingsError, match="at least 1"):
        begin(engine, guidance_every=0)
    with pytest.raises(SettingsError, match="1 or more"):
        begin(engine, cache_every=0)


def test_unknown_names_are_explained(engine: StepEngine) -> None:
    with pytest.raises(SettingsError, match="Unknown scheduler"):
        begin(engine, scheduler="heun9000")
    with pytest.raises(SettingsError, match="No style LoRA"):
        begin(engine, style_loras=(("papercut", 1.0),))


def test_a_prompt_that_was_drawn_before_runs_no_text_encoder(engine: StepEngine) -> None:
    features = torch.randn(2, 1, 256, generator=torch.Generator().manual_seed(3))
    calls: list[torch.nn.Module] = []
    hooks = [
        encoder.register_forward_hook(lambda module, *_: calls.append(module))
        for encoder in engine.model.base.text.encoders
    ]
    engine.model.base.text.clear()
    first = engine.condition("a man img on the roof", "blurry", features)
    assert len(calls) == 6
    again = engine.condition("a man img on the roof", "blurry", features)
    other = engine.condition("a man img on the roof", "blurry", features.neg())
    for hook in hooks:
        hook.remove()
    assert len(calls) == 6
    assert torch.equal(first.merged.tokens, again.merged.tokens)
    assert torch.equal(first.text.tokens, other.text.tokens)
    assert not torch.allclose(first.merged.tokens, other.merged.tokens)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), max_size=40))
def test_the_text_cache_keeps_the_last_used_within_its_bound(uses: list[tuple[int, int]]) -> None:
    cache = TextEmbeddingCache(max_bytes=160)
    for number, size in uses:
        key = bytes([number])
        found = cache.get(key)
        if found is None:
            cache.put(key, TextEmbedding(torch.full((size, 4), float(number)), torch.zeros(1, 2)))
            found = cache.get(key)
        assert found is not None
        assert float(found.tokens[0, 0]) == number
        assert cache.size_bytes <= 160
