"""Our own server as the benchmark sees it: the runner, with ID features that were computed when a person was added."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count

from PIL import Image
from torch import Tensor

from photomaker_core.benchmark.timing import now_s
from photomaker_core.benchmark.workload import Publish, Request, Server
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models.vae import Decoding
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import Event, Failed, Finished, ImageJob, Progress, Runner


class EngineServer(Server):
    """The runner behind the benchmark's interface."""

    def __init__(
        self,
        engine: StepEngine,
        people: list[list[Image.Image]],
        settings: GenerationSettings,
        max_batch: int,
    ) -> None:
        self._settings, self._numbers = settings, count()
        self._stacks: list[Tensor] = [engine.model.encode_photos(photos) for photos in people]
        self._runner = Runner(engine, max_batch)

    @property
    def is_idle(self) -> bool:
        return self._runner.is_idle

    def submit(self, request: Request, publish: Publish) -> None:
        def receive(event: Event) -> None:
            match event:
                case Progress() if event.previews:
                    publish("preview")
                case Finished():
                    publish("finished")
                case Failed():
                    raise event.error

        drawing = ImageJob(
            next(self._numbers),
            request.prompt,
            request.negative,
            self._stacks[request.person],
            [replace(self._settings, seed=request.seed)],
            member=request.member,
        )
        self._runner.submit(drawing, receive)

    def advance(self) -> None:
        self._runner.tick()


@dataclass(slots=True)
class Clock:
    """Seconds spent inside the UNet and the VAE."""

    unet_s: float = 0.0
    vae_s: float = 0.0


class TimedEngine(StepEngine):
    """A step engine that keeps count of the time in its two large networks."""

    def __init__(self, model: PhotoMaker) -> None:
        super().__init__(model)
        self.clock = Clock()

    def decoding(self, latents: Tensor) -> Decoding:
        parts = super().decoding(latents)
        while True:
            started_s = self._now()
            try:
                next(parts)
            except StopIteration as end:
                self.clock.vae_s += self._now() - started_s
                pixels: Tensor = end.value
                return pixels
            self.clock.vae_s += self._now() - started_s
            yield

    @contextmanager
    def timed_unet(self) -> Iterator[Clock]:
        """Count UNet time while the context lasts."""
        begun: list[float] = []
        unet = self.model.base.unet
        hooks = (
            unet.register_forward_pre_hook(lambda *_: begun.append(self._now())),
            unet.register_forward_hook(lambda *_: self._add(begun.pop())),
        )
        self.clock = Clock()
        try:
            yield self.clock
        finally:
            for hook in hooks:
                hook.remove()

    def _add(self, started_s: float) -> None:
        self.clock.unet_s += self._now() - started_s

    def _now(self) -> float:
        return now_s(self.model.base.hardware.device)
