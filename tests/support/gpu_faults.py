"""Faults of the GPU thread: a model that loads late, steps that hang, break or end their thread."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Literal

import pytest
import torch

from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.generation import Generation
from photomaker_core.sampling.step_engine import StepEngine


class SlowLoad:
    """Loads the model when the test says so."""

    def __init__(self, model: PhotoMaker) -> None:
        self._model = model
        self.may_load = threading.Event()

    def __call__(self) -> PhotoMaker:
        self.may_load.wait(60)
        return self._model


class FaultySteps:
    """Steps that hang, or kill their thread, while ``mode`` says so; the next one alone breaks as ``once`` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mode: Literal["", "hangs", "dies"] = ""
        self.once: Literal["", "memory", "error", "nan"] = ""
        self.goes_on = threading.Event()
        step = StepEngine.step

        def faulty(engine: StepEngine, generations: Sequence[Generation]) -> None:
            if self.mode == "dies":
                raise SystemExit("a library ended the thread")
            if self.mode == "hangs":
                self.goes_on.wait(100)
            once, self.once = self.once, ""
            if once == "memory":
                raise torch.OutOfMemoryError("a fault")
            if once == "error":
                raise RuntimeError("a fault")
            step(engine, generations)
            if once == "nan":
                generations[0].latents = torch.full_like(generations[0].latents, math.nan)

        monkeypatch.setattr(StepEngine, "step", faulty)
