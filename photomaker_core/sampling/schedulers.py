"""The schedulers that a generation can use, by the names that users know. Called by the engine.

A name means one thing. Of the base's own scheduler only the noise schedule that it was trained with is kept: what else
its configuration holds (a spacing, Karras sigmas, clipping) belongs to another scheduler and would change this one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    TCDScheduler,
)

from photomaker_core.errors import SettingsError

_OF_THE_BASE: Final = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
    "rescale_betas_zero_snr", "sigma_min", "sigma_max", "sigma_data", "sigma_schedule", "rho",
)  # fmt: skip
"""Parts of the configuration that belong to the base: the betas, or EDM's sigmas, and what its UNet predicts."""

_LEADING: Final = {"timestep_spacing": "leading", "steps_offset": 1}
_TRAILING: Final = {"timestep_spacing": "trailing", "steps_offset": 0}
_PLAIN_SIGMAS: Final = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_DISTILLED_STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class _Kind:
    """``options`` are pinned; ``most_steps`` is the length of the schedule that distilling used, where there is one.

    ``spacing`` is SDXL's, but trailing for a base that was trained for that (Lin et al. 2023, zero terminal SNR).
    ``edm`` is the same method for a base with EDM's sigmas (Karras et al. 2022).
    """

    make: type[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    spacing: Mapping[str, Any] = field(default_factory=lambda: _LEADING)
    most_steps: int | None = None
    edm: type[Any] | None = None


_EULER: Final = {
    **_PLAIN_SIGMAS,
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "final_sigmas_type": "zero",
    "sigma_min": None,
    "sigma_max": None,
}
_DDIM: Final = {"clip_sample": False, "thresholding": False, "set_alpha_to_one": False}
_DPMPP: Final = {
    **_PLAIN_SIGMAS,
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "solver_type": "midpoint",
    "lower_order_final": True,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
    "thresholding": False,
}
_CONSISTENCY: Final = {
    "clip_sample": False,
    "thresholding": False,
    "set_alpha_to_one": True,
    "original_inference_steps": _DISTILLED_STEPS,
    "timestep_scaling": 10.0,
}
_KINDS: Final = {
    "euler": _Kind(EulerDiscreteScheduler, _EULER, edm=EDMEulerScheduler),
    "euler_trailing": _Kind(EulerDiscreteScheduler, _EULER, _TRAILING),
    "euler_a": _Kind(EulerAncestralDiscreteScheduler),
    "dpmpp_2m": _Kind(DPMSolverMultistepScheduler, _DPMPP, edm=EDMDPMSolverMultistepScheduler),
    "dpmpp_2m_karras": _Kind(DPMSolverMultistepScheduler, {**_DPMPP, "use_karras_sigmas": True}),
    "ddim": _Kind(DDIMScheduler, _DDIM),
    "ddim_trailing": _Kind(DDIMScheduler, _DDIM, _TRAILING),
    "lcm": _Kind(LCMScheduler, _CONSISTENCY, most_steps=_DISTILLED_STEPS),
    "tcd": _Kind(TCDScheduler, _CONSISTENCY, most_steps=_DISTILLED_STEPS),
}
SCHEDULER_NAMES: Final = tuple(_KINDS)
_FOR_DISTILLED: Final = {"euler": "euler_trailing", "ddim": "ddim_trailing"}


def make_scheduler(name: str, base_config: Mapping[str, Any]) -> SchedulerMixin:
    """A fresh scheduler called ``name`` for a base whose own scheduler is configured by ``base_config``.

    Raises :class:`SettingsError` for an unknown name, and for one that an EDM base has no counterpart of.
    """
    kind = _kind(name)
    make, options = kind.make, dict(kind.options)
    if "sigma_data" in base_config:
        if kind.edm is None:
            raise SettingsError(
                "The scheduler “{name}” cannot draw with this base model, an EDM one. It can use: {known}.",
                name=name,
                known=", ".join(known for known, one in _KINDS.items() if one.edm is not None),
            )
        make, options = kind.edm, {}
    else:
        was_trained_for_trailing = base_config.get("timestep_spacing") == "trailing" or base_config.get(
            "rescale_betas_zero_snr"
        )
        options |= _TRAILING if was_trained_for_trailing else kind.spacing
    accepted = inspect.signature(make.__init__).parameters
    kept = {key: base_config[key] for key in _OF_THE_BASE if key in base_config}
    scheduler: SchedulerMixin = make(**{key: value for key, value in (kept | options).items() if key in accepted})
    return scheduler


def check_steps(name: str, steps: int) -> None:
    """Raise :class:`SettingsError` for an unknown scheduler, and for more steps than one can take."""
    most = _kind(name).most_steps
    if most is not None and steps > most:
        raise SettingsError(
            "The scheduler “{name}” draws in at most {most} steps; {value} are too many.",
            name=name,
            most=most,
            value=steps,
        )


def step_options(scheduler: Any, noise: torch.Generator) -> dict[str, Any]:
    """Options of ``scheduler.step`` besides prediction, timestep and latents; diffusers' pipeline gives the same.

    ``eta`` of 0 makes DDIM and TCD deterministic; a scheduler that draws noise draws it from ``noise``.
    """
    accepted = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in (("generator", noise), ("eta", 0.0)) if name in accepted}


def scheduler_for_distilled(name: str) -> str:
    """The scheduler to use where a distilled LoRA (Lightning, Hyper-SD) was made for the one called ``name``.

    Such a LoRA was trained at trailing timesteps, 999, 749, 499 and 249 for four steps, and knows no others.
    """
    return _FOR_DISTILLED.get(name, name)


def _kind(name: str) -> _Kind:
    try:
        return _KINDS[name]
    except KeyError:
        raise SettingsError(
            "Unknown scheduler “{name}”. Known are: {known}.", name=name, known=", ".join(SCHEDULER_NAMES)
        ) from None
