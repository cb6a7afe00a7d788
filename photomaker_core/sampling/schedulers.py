"""The schedulers that a generation can use, by the names that users know. Called by the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    TCDScheduler,
)

from photomaker_core.errors import SettingsError

_BUILDERS: Final[dict[str, Callable[[Any], Any]]] = {
    "euler": EulerDiscreteScheduler.from_config,
    "euler_a": EulerAncestralDiscreteScheduler.from_config,
    "dpmpp_2m": lambda config: DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=False),
    "dpmpp_2m_karras": lambda config: DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True),
    "ddim": DDIMScheduler.from_config,
    "lcm": LCMScheduler.from_config,
    "tcd": TCDScheduler.from_config,
}
SCHEDULER_NAMES: Final = tuple(_BUILDERS)


def make_scheduler(name: str, base_config: Any) -> SchedulerMixin:
    """A fresh scheduler called ``name`` with the base model's noise schedule.

    Raises :class:`SettingsError` for an unknown name.
    """
    try:
        build = _BUILDERS[name]
    except KeyError:
        raise SettingsError(
            "Unknown scheduler “{name}”. Known are: {known}.", name=name, known=", ".join(SCHEDULER_NAMES)
        ) from None
    scheduler: SchedulerMixin = build(base_config)
    return scheduler
