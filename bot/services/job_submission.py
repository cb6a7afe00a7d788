"""From an open job to work for the GPU thread, and what is checked once more when that work begins.

Called by the job service.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Final

from bot.domain.minor_protection import check_minors_in
from bot.domain.places import regions_of
from bot.services.draw_contexts import DrawContextService
from bot.services.identities import IdentityService
from bot.services.open_jobs import OpenJob
from bot.workers.model_worker import ModelWorker
from photomaker_core.images.photo_decoding import load_photo
from photomaker_core.sampling.generation import Img2ImgInit
from photomaker_core.serving.runner import ImageJob, Publish
from storage import JobStore, NotFoundError, StorageError

log = logging.getLogger(__name__)

BEGIN_PATIENCE_S: Final = 240.0
"""The longest wait of the GPU thread for an answer, even on a slow machine; shorter than a step may take."""

DATABASE_PATIENCE_S: Final = 60.0
_RETRY_S: Final = 1.0


class NotOpenError(Exception):
    """The job has been ended elsewhere, its row is gone, or the bot stops."""


class JobSubmission:
    """Prepares jobs. ``on_loop`` calls something on the event loop from another thread."""

    def __init__(
        self,
        store: JobStore,
        identities: IdentityService,
        contexts: DrawContextService,
        gpu: ModelWorker,
        on_loop: Callable[[Callable[[], object]], None],
    ) -> None:
        self._store, self._identities, self._contexts = store, identities, contexts
        self._gpu, self._on_loop = gpu, on_loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def close(self) -> None:
        """Begin no job any more, but for those that are just being begun."""
        self._is_closing = True

    async def at_rest(self, patience_s: float) -> None:
        """Wait so long for those that are just being begun."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)

    async def submit(self, job: OpenJob, publish: Publish) -> None:
        """Hand a job to the GPU thread as soon as there is a model. Raises what keeps it from being drawn."""
        record, request = job.record, job.request
        check_minors_in(request)
        load = self._identities.features if request.layout is None else self._identities.stacks
        features = await load(record.user_id, request.guild_id, request.identities)
        model = await asyncio.wrap_future(self._gpu.loaded)
        prompt, negative = request.styled()
        drawing = ImageJob(
            record.id,
            prompt,
            negative,
            features,
            request.settings(model.side_px),
            record.user_id,
            request.weight,
            regions=regions_of(request),
            prepare=lambda drawing: replace(drawing, start=self._begin_from_worker(job)),
        )
        if not job.is_ending:
            self._gpu.submit(drawing, publish)

    def _begin_from_worker(self, job: OpenJob) -> Img2ImgInit | None:
        """Ask the event loop to begin a job, and wait for its answer; raises what stands in the way."""
        answer: Future[Img2ImgInit | None] = Future()
        self._on_loop(lambda: self._start_beginning(job, answer))
        try:
            return answer.result(BEGIN_PATIENCE_S)
        except TimeoutError:
            raise StorageError("The bot's database is busy. Please try again in a moment.") from None

    def _start_beginning(self, job: OpenJob, answer: Future[Img2ImgInit | None]) -> None:
        task = asyncio.get_running_loop().create_task(self._begin(job, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, job: OpenJob, answer: Future[Img2ImgInit | None]) -> None:
        try:
            start = await self._patiently_checked(job)
        except Exception as error:
            answer.set_exception(error)
        except BaseException:
            answer.set_exception(NotOpenError())
            raise
        else:
            answer.set_result(start)

    async def _patiently_checked(self, job: OpenJob) -> Img2ImgInit | None:
        """Check again while the database is busy."""
        until_s = time.monotonic() + DATABASE_PATIENCE_S
        while True:
            try:
                return await self._checked(job)
            except NotFoundError:
                raise
            except StorageError as error:
                if time.monotonic() > until_s:
                    raise
                log.warning("job %d cannot be begun yet: %s", job.record.id, error)
            await asyncio.sleep(_RETRY_S)

    async def _checked(self, job: OpenJob) -> Img2ImgInit | None:
        """Check who may be drawn by today's facts, count the attempt, and read the picture to start from."""
        record, request = job.record, job.request
        if job.is_ending or self._is_closing:
            raise NotOpenError
        people = [share.identity_id for share in request.identities]
        await self._contexts.check_people(record.user_id, request.guild_id, people)
        source = await self._store.source(record.id) if request.denoise_strength < 1 else None
        # Counted before anything that may end the process: what does so every time is not tried for ever.
        if not await self._store.begun(record.id):
            raise NotOpenError
        job.is_begun = True
        if source is None:
            return None
        return Img2ImgInit(await asyncio.to_thread(load_photo, source), request.denoise_strength)
