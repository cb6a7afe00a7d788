"""Faults of the GPU thread: a model that loads late, steps that hang or end their thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal

import pytest

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
    """Steps that hang, or kill their thread, while ``mode`` says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mode: Literal["", "hangs", "dies"] = ""
        self.goes_on = threading.Event()
        step = StepEngine.step

        def faulty(engine: StepEngine, generations: Sequence[Generation]) -> None:
            if self.mode == "dies":
                raise SystemExit("a library ended the thread")
            if self.mode == "hangs":
                self.goes_on.wait(100)
            step(engine, generations)

        monkeypatch.setattr(StepEngine, "step", faulty)
