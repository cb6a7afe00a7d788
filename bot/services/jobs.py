"""The job desk: accepted requests become rows, rows become drawings, drawings become replies.

An event of the GPU thread arrives on the event loop and starts at most one short edit; nothing waits for
a drawing, so a restart loses no more than what the GPU thread had in hand, and that is drawn again.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import discord
from PIL import Image

from bot.domain.draw_request import DrawRequest
from bot.domain.time_estimate import ThroughputEstimator
from bot.i18n.catalogue import current, gettext, speaking
from bot.presentation import messages
from bot.presentation.errors import sentence_for
from bot.presentation.image_files import encode_pictures, encode_preview, encode_thumbnails
from bot.services.admission import AdmissionPolicy
from bot.services.identities import IdentityService
from bot.services.job_messages import Attached, Replies
from bot.workers.gpu_thread import GpuThread
from photomaker_core.images.photo_decoding import load_photo
from photomaker_core.sampling.generation import Img2ImgInit, steps_anew
from photomaker_core.serving.runner import Cancelled, Event, Failed, Finished, ImageJob, Progress, Started
from storage import Database, JobRecord, JobStore, NewJob, NewResult

log = logging.getLogger(__name__)

EDIT_INTERVAL_S = 2.0
PLACE_INTERVAL_S = 5.0
_TOLD_PLACES = 10


@dataclass(frozen=True, slots=True)
class Controls:
    """What a job's message offers its readers: makers of fresh views, while it is drawn and when it is done."""

    running: Callable[[], discord.ui.View]
    done: Callable[[DrawRequest], discord.ui.View]


@dataclass(frozen=True, slots=True)
class OpenJob:
    """An open job as its member sees it; ``done`` is the share of its steps, in 0..1."""

    record: JobRecord
    request: DrawRequest
    jobs_before: int
    is_running: bool
    done: float


@dataclass(slots=True, eq=False)
class _OpenJob:
    record: JobRecord
    request: DrawRequest
    told_place_at_s: float
    steps_done: int = 0
    dropped_text: str = ""
    started_at_s: float | None = None
    edited_at_s: float = float("-inf")
    previews: Sequence[Image.Image] = ()
    edit: asyncio.Task[None] | None = None
    start_note: asyncio.Task[None] | None = None
    is_cancelled: bool = False
    is_ending: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class JobService:
    """Owns the jobs between acceptance and reply."""

    def __init__(
        self,
        client: discord.Client,
        database: Database,
        gpu: GpuThread,
        identities: IdentityService,
        controls: Controls,
        gate: AdmissionPolicy,
        *,
        keep_pictures: bool,
        role_weights: Mapping[int, float],
    ) -> None:
        self._gpu, self._identities, self._controls = gpu, identities, controls
        self.store, self.gate, self.throughput = JobStore(database), gate, ThroughputEstimator()
        self._replies = Replies(client, self.store)
        self._keep_pictures, self._role_weights = keep_pictures, role_weights
        self._open: dict[int, _OpenJob] = {}
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open_count(self) -> int:
        return len(self._open)

    @property
    def steps_left(self) -> int:
        """Steps that the open jobs still need."""
        return sum(_steps(job.request) - job.steps_done for job in self._open.values())

    def open_of(self, user_id: int) -> list[OpenJob]:
        """A member's open jobs, oldest first, each with the number of jobs that were there before it."""
        return [
            OpenJob(job.record, job.request, before, job.started_at_s is not None, job.steps_done / _steps(job.request))
            for before, job in enumerate(self._open.values())
            if job.record.user_id == user_id
        ]

    async def accept(self, interaction: discord.Interaction, request: DrawRequest, source: bytes | None = None) -> None:
        """Take over a deferred interaction: store its job, tell its place in the queue, have it drawn.

        ``source`` is the picture that the request starts from. Raises :class:`NotAllowedError`.
        """
        await self.gate.check(interaction, request, len(self.open_of(interaction.user.id)))
        expected_s = self.throughput.expected_s(self.steps_left + _steps(request))
        message = await interaction.edit_original_response(
            content=messages.waiting(len(self._open), expected_s), view=self._controls.running()
        )
        record = await self.store.accept(
            NewJob(
                user_id=interaction.user.id,
                channel_id=message.channel.id,
                message_id=message.id,
                interaction_token=interaction.token,
                request=replace(request, weight=self._weight_of(interaction.user), language=current()).to_json(),
                source=source,
            )
        )
        self._spawn(self._submit(record))

    def _weight_of(self, user: discord.User | discord.Member) -> float:
        """The largest weight among a member's roles; 1 for everybody else."""
        roles = user.roles if isinstance(user, discord.Member) else []
        return max((self._role_weights[role.id] for role in roles if role.id in self._role_weights), default=1.0)

    def cancel(self, job_id: int) -> bool:
        """End a job within one step; whether there was one to end."""
        job = self._open.get(job_id)
        if job is None:
            return False
        job.is_cancelled = True
        self._gpu.cancel(job_id)
        return True

    async def cancel_all_of(self, user_id: int) -> None:
        """End a member's open jobs, and wait until each has told them so and written its row."""
        own = [job for job in self._open.values() if job.record.user_id == user_id]
        for job in own:
            self.cancel(job.record.id)
        await asyncio.gather(*(job.ended.wait() for job in own))

    async def resume(self) -> None:
        """Submit what an earlier run accepted and did not finish; jobs of this run are left alone."""
        for record in await self.store.unfinished():
            await self._submit(record)

    async def _submit(self, record: JobRecord) -> None:
        if record.id in self._open:
            return
        job = _OpenJob(record, DrawRequest.from_json(record.request), time.monotonic())
        self._open[record.id] = job
        try:
            request = job.request
            features = await self._identities.features(record.user_id, request.guild_id, request.identities)
            model = await asyncio.wrap_future(self._gpu.loaded)
            prompt, negative = request.styled()
            sizes = request.settings(model.base.side_px)
            start = None
            if record.source is not None:
                start = Img2ImgInit(await asyncio.to_thread(load_photo, record.source), request.denoise_strength)
            drawing = ImageJob(record.id, prompt, negative, features, sizes, record.user_id, request.weight, start)
        except Exception as error:
            await self._conclude(job, Failed(error))
            return
        if job.is_cancelled:
            await self._conclude(job, Cancelled())
            return
        self._gpu.submit(drawing, lambda event: self._from_gpu_thread(job, event))

    def _from_gpu_thread(self, job: _OpenJob, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._receive, job, event, context=self._context)

    def _receive(self, job: _OpenJob, event: Event) -> None:
        match event:
            case Started():
                job.dropped_text = event.dropped_text
                job.started_at_s = time.monotonic()
                job.start_note = self._spawn(self.store.started(job.record.id))
            case Progress():
                self._show_progress(job, event)
            case _:
                self._spawn(self._conclude(job, event))

    def _show_progress(self, job: _OpenJob, progress: Progress) -> None:
        now = time.monotonic()
        self.throughput.note(progress.step - job.steps_done, time.perf_counter())
        job.steps_done = progress.step
        job.previews = progress.previews or job.previews
        if now - job.edited_at_s < EDIT_INTERVAL_S or (job.edit and not job.edit.done()):
            return
        job.edited_at_s = now
        elapsed_s = now - (job.started_at_s or now)
        with speaking(job.request.language):
            content = messages.drawing(job.request, progress.step, progress.steps, elapsed_s)
        job.edit = self._spawn(self._reply_with_previews(job, content))

    def _tell_places(self) -> None:
        """Tell those next in the queue where they are now; the rate limits leave no room for telling everybody."""
        now, steps = time.monotonic(), 0
        for before, job in enumerate(list(self._open.values())[:_TOLD_PLACES]):
            steps += _steps(job.request) - job.steps_done
            is_due = job.started_at_s is None and now - job.told_place_at_s >= PLACE_INTERVAL_S
            if not is_due or job.is_ending or (job.edit and not job.edit.done()):
                continue
            job.told_place_at_s = job.edited_at_s = now
            with speaking(job.request.language):
                content = messages.waiting(before, self.throughput.expected_s(steps))
            job.edit = self._spawn(self._replies.send(job.record, content))

    async def _reply_with_previews(self, job: _OpenJob, content: str) -> None:
        files = []
        if job.previews:
            encoded = await asyncio.to_thread(encode_preview, job.previews)
            files = [Attached(f"preview-{job.record.id}.jpg", encoded)]
        await self._replies.send(job.record, content, files)

    async def _conclude(self, job: _OpenJob, event: Event) -> None:
        job.is_ending = True
        earlier = [task for task in (job.edit, job.start_note) if task is not None]
        if earlier:
            await asyncio.wait(earlier)
        try:
            with speaking(job.request.language):
                await self._tell_end(job, event)
        finally:
            self._open.pop(job.record.id, None)
            job.ended.set()
            self._tell_places()

    async def _tell_end(self, job: _OpenJob, event: Event) -> None:
        match event:
            case Finished():
                await self._deliver(job, event)
            case Failed():
                sentence = sentence_for(event.error, f"job {job.record.id}")
                await self.store.failed(job.record.id, sentence)
                await self._replies.send(job.record, sentence, final=True)
            case Cancelled():
                await self.store.cancelled(job.record.id)
                await self._replies.send(job.record, gettext("Cancelled."), final=True)

    async def _deliver(self, job: _OpenJob, finished: Finished) -> None:
        suffix, contents = await asyncio.to_thread(encode_pictures, finished.pictures)
        thumbnails = await asyncio.to_thread(encode_thumbnails, finished.pictures)
        files = [
            Attached(f"picture-{job.record.id}-{index}.{suffix}", content)
            for index, content in enumerate(contents, start=1)
        ]
        await self._replies.send(
            job.record,
            messages.result(job.request, job.dropped_text),
            files,
            final=True,
            view=self._controls.done(job.request),
        )
        settings: dict[str, Any] = job.request.to_json()
        await self.store.finished(
            job.record.id,
            [
                NewResult(job.request.seed + index, settings, content if self._keep_pictures else None, thumbnail)
                for index, (content, thumbnail) in enumerate(zip(contents, thumbnails, strict=True))
            ],
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a job's reply or row could not be written", exc_info=task.exception())


def _steps(request: DrawRequest) -> int:
    """All steps of a request's pictures."""
    return request.count * steps_anew(request.steps, request.denoise_strength)
