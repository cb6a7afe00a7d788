"""Sample pictures of the styles, drawn once by the model that is loaded. Called by /style."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from PIL import Image

from bot.presentation.image_files import encode_thumbnails
from bot.services.picture_check import PictureCheck
from bot.workers.model_worker import ModelWorker
from photomaker_core.presets.aspect_ratios import DEFAULT_ASPECT, aspect_named
from photomaker_core.presets.styles import STYLES
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.serving.runner import Cancelled, Event, Failed, Finished, ImageJob

_PROMPT: Final = "a portrait of a woman with red hair at the beach"
_SEED: Final = 4
_WEIGHT: Final = 0.25
"""Share of the GPU beside a member's 1: members' own pictures come first."""


Samples = dict[str, bytes | None]
"""A small JPEG for each style's name; ``None`` for one that is explicit."""


class StyleSamples:
    """Draws a text-only picture in every style when first asked, and keeps the pictures until the bot ends."""

    def __init__(self, gpu: ModelWorker, check: PictureCheck, steps: int, guidance: float) -> None:
        self._gpu, self._check, self._steps, self._guidance = gpu, check, steps, guidance
        self._drawing: asyncio.Task[Samples] | None = None

    @property
    def are_ready(self) -> bool:
        return self._drawing is not None and self._drawing.done() and not _has_failed(self._drawing)

    async def pictures(self) -> Samples:
        """Return the samples. The first call has them drawn; later ones wait for the same."""
        if self._drawing is None or _has_failed(self._drawing):
            self._drawing = asyncio.create_task(self._draw())
        return await asyncio.shield(self._drawing)

    async def _draw(self) -> Samples:
        model = await asyncio.wrap_future(self._gpu.loaded)
        width, height = aspect_named(DEFAULT_ASPECT).size_for(model.side_px)
        settings = GenerationSettings(width, height, self._steps, guidance_scale=self._guidance, seed=_SEED)
        pictures = await asyncio.gather(
            *(self._drawn(-number, name, settings) for number, name in enumerate(STYLES, start=1))
        )
        samples = [one for (one,) in pictures]
        explicit = await self._check.are_explicit(samples)
        thumbnails = await asyncio.to_thread(encode_thumbnails, samples)
        return {
            style: None if is_explicit else thumbnail
            for style, is_explicit, thumbnail in zip(STYLES, explicit, thumbnails, strict=True)
        }

    async def _drawn(self, job_id: int, style: str, settings: GenerationSettings) -> Sequence[Image.Image]:
        """Draw one style. ``job_id`` is below zero: the ids of members' jobs are not."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[Sequence[Image.Image]] = loop.create_future()

        def take(event: Event) -> None:
            if finished.done():
                return
            match event:
                case Finished():
                    finished.set_result(event.pictures)
                case Failed():
                    finished.set_exception(event.error)
                case Cancelled():
                    finished.cancel()

        def publish(event: Event) -> None:
            loop.call_soon_threadsafe(take, event)

        prompt, negative = STYLES[style].apply(_PROMPT, None)
        self._gpu.submit(ImageJob(job_id, prompt, negative, None, [settings], weight=_WEIGHT), publish)
        return await finished


def _has_failed(task: asyncio.Task[Samples]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
