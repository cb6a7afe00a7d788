"""Schedulers: each name means one thing, and it is what diffusers' own pipeline draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
)

from photomaker_core.errors import SettingsError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.schedulers import (
    SCHEDULER_NAMES,
    make_scheduler,
    scheduler_for_distilled,
    step_options,
)
from photomaker_core.sampling.step_engine import StepEngine

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = {"timestep_spacing": "trailing"}
DDIM = {"clip_sample": False, "set_alpha_to_one": False}
THEIRS: dict[str, Any] = {
    "euler": EulerDiscreteScheduler(**SDXL, **LEADING),
    "euler_trailing": EulerDiscreteScheduler(**SDXL, **TRAILING),
    "euler_a": EulerAncestralDiscreteScheduler(**SDXL, **LEADING),
    "dpmpp_2m": DPMSolverMultistepScheduler(**SDXL, **LEADING),
    "dpmpp_2m_karras": DPMSolverMultistepScheduler(**SDXL, **LEADING, use_karras_sigmas=True),
    "ddim": DDIMScheduler(**SDXL, **LEADING, **DDIM),
    "ddim_trailing": DDIMScheduler(**SDXL, **TRAILING, **DDIM),
    "lcm": LCMScheduler(**SDXL),
    "tcd": TCDScheduler(**SDXL),
}
BASES: dict[str, Any] = {
    "SDXL's own": {**SDXL, **LEADING, "use_karras_sigmas": False, "clip_sample": False, "set_alpha_to_one": False},
    "Euler": EulerDiscreteScheduler(**SDXL, timestep_spacing="linspace", use_karras_sigmas=True).config,
    "DPM++": DPMSolverMultistepScheduler(
        **SDXL, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++", solver_order=3, final_sigmas_type="sigma_min"
    ).config,
    "DDIM": DDIMScheduler(**SDXL, clip_sample=True, thresholding=True).config,
    "LCM": LCMScheduler(**SDXL, clip_sample=True, original_inference_steps=25, timestep_scaling=1.0).config,
}
DISTINCT = {"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_a_name_means_one_thing_whatever_the_bases_scheduler_holds(name: str, base: str) -> None:
    ours: Any = make_scheduler(name, BASES[base])
    theirs = THEIRS[name]
    assert type(ours) is type(theirs)
    used = {key: ours.config[key] for key in theirs.config if not key.startswith("_")}
    expected = {key: value for key, value in theirs.config.items() if not key.startswith("_")}
    if name in ("lcm", "tcd"):
        for ignored in ("timestep_spacing", "steps_offset"):
            del used[ignored], expected[ignored]
    if "trailing" in name:
        del used["steps_offset"], expected["steps_offset"]
    assert used == expected


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_the_noise_schedule_and_the_prediction_are_the_bases(name: str) -> None:
    config = {**DISTINCT, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, **LEADING}
    scheduler: Any = make_scheduler(name, config)
    assert {key: scheduler.config[key] for key in DISTINCT} == DISTINCT
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.rescale_betas_zero_snr


def test_distilled_loras_get_the_timesteps_that_they_were_trained_at() -> None:
    for name in ("euler", "ddim"):
        scheduler: Any = make_scheduler(scheduler_for_distilled(name), BASES["SDXL's own"])
        scheduler.set_timesteps(4)
        assert scheduler.timesteps.tolist() == [999, 749, 499, 249]
        plain: Any = make_scheduler(name, BASES["SDXL's own"])
        plain.set_timesteps(4)
        assert plain.timesteps.tolist() == [751, 501, 251, 1]
    assert scheduler_for_distilled("lcm") == "lcm"


def test_a_base_made_for_trailing_timesteps_keeps_them() -> None:
    for config in ({**SDXL, **TRAILING}, {**SDXL, **LEADING, "rescale_betas_zero_snr": True}):
        scheduler: Any = make_scheduler("euler", config)
        scheduler.set_timesteps(4)
        assert scheduler.timesteps.tolist() == [999, 749, 499, 249]


EDM: dict[str, Any] = {"euler": EDMEulerScheduler(), "dpmpp_2m": EDMDPMSolverMultistepScheduler()}


@pytest.mark.parametrize("name", SCHEDULER_NAMES)
def test_diffusers_own_pipeline_draws_the_same(tiny_model: PhotoMaker, name: str) -> None:
    compare(tiny_model, name, THEIRS[name])


@pytest.mark.parametrize("name", EDM)
def test_diffusers_own_pipeline_draws_the_same_with_an_edm_base(
    tiny_model: PhotoMaker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_model.base.pipeline, "scheduler", EDM[name])
    compare(tiny_model, name, EDM[name])


def compare(model: PhotoMaker, name: str, theirs: Any) -> None:
    engine, pipeline = StepEngine(model), model.base.pipeline
    model.activate_loras(())
    settings = GenerationSettings(64, 64, steps=5, scheduler=name, seed=3, guidance_scale=4.0)
    conditioning = engine.condition("a man by the sea", "blurry", None)
    generation = engine.begin(conditioning, settings)
    while not generation.is_done:
        engine.step([generation])
    before, pipeline.scheduler = pipeline.scheduler, theirs
    try:
        expected = pipeline(
            prompt_embeds=conditioning.text.tokens,
            pooled_prompt_embeds=conditioning.text.pooled,
            negative_prompt_embeds=conditioning.negative.tokens,
            negative_pooled_prompt_embeds=conditioning.negative.pooled,
            width=64,
            height=64,
            num_inference_steps=5,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(3),
            output_type="latent",
        ).images
    finally:
        pipeline.scheduler = before
    assert (generation.latents - expected).abs().max() < 1e-3 * expected.abs().max()


def test_tcd_is_drawn_without_new_noise_as_its_pipeline_does() -> None:
    noise = torch.Generator()
    assert step_options(make_scheduler("tcd", SDXL), noise) == {"generator": noise, "eta": 0.0}
    assert step_options(make_scheduler("euler", SDXL), noise) == {"generator": noise}


def test_more_steps_than_a_distilled_schedule_has_are_explained() -> None:
    for name in ("lcm", "tcd"):
        GenerationSettings(64, 64, steps=50, scheduler=name)
        with pytest.raises(SettingsError, match="at most 50 steps"):
            GenerationSettings(64, 64, steps=51, scheduler=name)
    with pytest.raises(SettingsError, match="Unknown scheduler"):
        GenerationSettings(64, 64, scheduler="heun9000")


def test_an_edm_base_is_drawn_with_edms_schedulers() -> None:
    config = EDMEulerScheduler(sigma_max=70.0, sigma_data=0.6, rho=6.0).config
    for name, kind in (("euler", EDMEulerScheduler), ("dpmpp_2m", EDMDPMSolverMultistepScheduler)):
        scheduler: Any = make_scheduler(name, config)
        assert isinstance(scheduler, kind)
        assert (scheduler.config.sigma_max, scheduler.config.sigma_data, scheduler.config.rho) == (70.0, 0.6, 6.0)
    with pytest.raises(SettingsError, match="EDM"):
        make_scheduler("lcm", config)
