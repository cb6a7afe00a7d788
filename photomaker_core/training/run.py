"""Builds the stage that a YAML configuration names and trains it. Called by ``photomaker train``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from diffusers import AutoencoderKL

from photomaker_core.errors import UserError
from photomaker_core.nano.architecture import new_vae
from photomaker_core.nano.portrait_set import PortraitSet, portrait_set
from photomaker_core.training.trainer import LoopSettings, Stage, train
from photomaker_core.training.vae import VaeStage


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run. Paths in ``inputs`` and ``output`` are relative to the work folder."""

    stage: str
    output: str
    loop: LoopSettings
    learning_rate: float
    data: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def portraits(self, work: Path) -> PortraitSet:
        return portrait_set(work, self.data["identities"], self.data["pictures"])


def load_config(path: Path) -> TrainConfig:
    """Read a YAML configuration; a wrong or missing key is a :class:`UserError` that names it."""
    try:
        raw = yaml.safe_load(path.read_text())
        return TrainConfig(**{**raw, "loop": LoopSettings(**raw["loop"])})
    except FileNotFoundError as error:
        raise UserError(f"There is no training configuration at {path}.") from error
    except (TypeError, KeyError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not a valid training configuration: {error}") from error


def run(config: TrainConfig, work: Path) -> None:
    """Train the configured stage in ``work``; a second call resumes it."""
    try:
        build = _STAGES[config.stage]
    except KeyError as error:
        raise UserError(f"Unknown stage {config.stage!r}; known are {', '.join(_STAGES)}.") from error
    train(build(config, work), config.loop, work / config.output)


def _vae(config: TrainConfig, work: Path) -> Stage:
    vae: AutoencoderKL = new_vae(config.loop.seed)
    return VaeStage(vae, config.portraits(work), config.learning_rate)


_STAGES: dict[str, Callable[[TrainConfig, Path], Stage]] = {"vae": _vae}
