"""What the services know of whoever owns the model: a thread of this process, or a process of its own.

:mod:`bot.workers.gpu_thread` and :mod:`bot.workers.gpu_process` are the two; the application chooses one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from photomaker_core.errors import UserError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.serving.runner import ImageJob, Publish

T = TypeVar("T")


class WorkerError(UserError):
    """The worker hangs or has died. Drawing goes on when it is started again, or when the step ends after all."""


HANGS: Final = "Drawing is stuck on my side. My operator has to look after me; please try again later."
DIED: Final = "Drawing has broken down on my side. My operator has to restart me; please try again later."


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What there is to know about the model without touching it.

    ID features are [N, ``tokens_per_photo``, ``feature_width``]; ``side_px`` is the side of a square picture.
    """

    version: str
    fingerprint: str
    side_px: int
    tokens_per_photo: int
    feature_width: int
    style_loras: tuple[str, ...]
    device: str
    plan: str

    @classmethod
    def of(cls, model: PhotoMaker) -> LoadedModel:
        return cls(
            model.version,
            model.fingerprint,
            model.base.side_px,
            model.id_encoder.tokens_per_photo,
            model.id_encoder.width,
            tuple(model.style_loras),
            str(model.base.hardware.device),
            model.plan.name,
        )


class ModelWorker(Protocol):
    """Owns the model from :meth:`start` to :meth:`stop`; its methods may be called from any thread.

    ``trouble`` is there while nothing new can be taken. ``on_trouble`` is called, in any thread, when drawing stops,
    and with ``None`` when it goes on.
    """

    loaded: Future[LoadedModel]
    trouble: WorkerError | None
    on_trouble: Callable[[WorkerError | None], None]

    @property
    def is_running(self) -> bool:
        """True until the worker has ended."""

    @property
    def is_starting_again(self) -> bool:
        """True while what is submitted is kept until the worker has started again."""

    def start(self) -> None:
        """Begin to load the model; ``loaded`` says how that ends."""

    def stop(self) -> None:
        """End the worker. Unfinished drawings get no further event."""

    def submit(self, drawing: ImageJob, publish: Publish) -> None:
        """Queue a drawing; ``publish`` is called in a thread of the worker's, last with an event that ends it."""

    def cancel(self, job_id: int) -> None:
        """End a drawing within one step; does nothing when it has ended already."""

    def call(self, work: Callable[[StepEngine], T]) -> Future[T]:
        """Run short ``work`` with the engine between two steps; fails with :class:`WorkerError` in trouble.

        ``work`` must be such as pickle can send: a module's function, or a ``functools.partial`` of one.
        """
