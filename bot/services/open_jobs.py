"""The jobs that have not ended, in the order in which they were accepted, and what their messages say meanwhile.

Called by the job service, which moves them; this module only counts and tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image

from bot.domain.draw_request import DrawRequest
from bot.domain.time_estimate import ThroughputEstimator
from bot.i18n.catalogue import speaking
from bot.presentation import messages
from bot.presentation.image_files import encode_preview
from bot.services.job_messages import Attached, JobMessages
from bot.services.picture_check import PictureCheck
from photomaker_core.sampling.generation import steps_anew
from photomaker_core.serving.runner import Progress, Started
from storage import JobRecord, LimitReachedError

log = logging.getLogger(__name__)

EDIT_INTERVAL_S = 2.0
PLACE_INTERVAL_S = 5.0
_TOLD_PLACES = 10


@dataclass(slots=True, eq=False)
class OpenJob:
    """A job that has not ended. ``is_ending`` where its end is known already, ``is_submitted`` where the GPU thread
    has it, ``is_begun`` where its row says that it is being drawn, ``has_previews`` until one of them was explicit."""

    record: JobRecord
    request: DrawRequest
    told_place_at_s: float
    steps_done: int = 0
    started: Started | None = None
    started_at_s: float | None = None
    edited_at_s: float = float("-inf")
    previews: Sequence[Image.Image] = ()
    has_previews: bool = True
    edit: asyncio.Task[None] | None = None
    is_submitted: bool = False
    is_begun: bool = False
    is_ending: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def steps(self) -> int:
        """All steps of its pictures."""
        return _steps_of(self.request)

    @property
    def steps_left(self) -> int:
        return self.steps - self.steps_done

    @property
    def is_being_told(self) -> bool:
        return self.edit is not None and not self.edit.done()


@dataclass(frozen=True, slots=True)
class JobView:
    """An open job as its member sees it; ``done`` is the share of its steps, in 0..1."""

    record: JobRecord
    request: DrawRequest
    jobs_before: int
    is_running: bool
    done: float


@dataclass(frozen=True, slots=True)
class Place:
    """A place at the end of the queue: the jobs before it, and the seconds until its job is ready, where known."""

    jobs_before: int
    expected_s: float | None


class OpenJobs:
    """Counts the open jobs and keeps their messages up to date, as far as Discord's rate limits leave room."""

    def __init__(self, job_messages: JobMessages, check: PictureCheck) -> None:
        self.throughput = ThroughputEstimator()
        self._messages, self._check = job_messages, check
        self._jobs: dict[int, OpenJob] = {}
        self._coming_jobs = self._coming_steps = 0
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[OpenJob]:
        return iter(list(self._jobs.values()))

    def get(self, job_id: int) -> OpenJob | None:
        return self._jobs.get(job_id)

    def add(self, job: OpenJob) -> None:
        self._jobs[job.record.id] = job

    @contextlib.contextmanager
    def room_for(self, request: DrawRequest, most_wait_s: float | None) -> Iterator[Place]:
        """Take a place for a job that is being stored, so that of several at once each counts those before it.

        Raises :class:`LimitReachedError` where the job would be ready later than ``most_wait_s`` from now.
        """
        steps = _steps_of(request)
        expected_s = self.throughput.expected_s(self.steps_left + self._coming_steps + steps)
        if most_wait_s is not None and expected_s is not None and expected_s > most_wait_s:
            raise LimitReachedError(
                "Your picture would be ready in about {time}; {most} is the longest wait. Please try again later.",
                time=messages.duration(expected_s),
                most=messages.duration(most_wait_s),
            )
        place = Place(len(self._jobs) + self._coming_jobs, expected_s)
        self._coming_jobs, self._coming_steps = self._coming_jobs + 1, self._coming_steps + steps
        try:
            yield place
        finally:
            self._coming_jobs, self._coming_steps = self._coming_jobs - 1, self._coming_steps - steps

    def remove(self, job: OpenJob) -> None:
        self._jobs.pop(job.record.id, None)
        if not any(one.started_at_s is not None for one in self._jobs.values()):
            self.throughput.pause()

    @property
    def steps_left(self) -> int:
        """Steps that the open jobs still need."""
        return sum(job.steps_left for job in self._jobs.values())

    def of_member(self, user_id: int) -> list[JobView]:
        """A member's open jobs, oldest first, each with the number of jobs that were there before it."""
        return [
            JobView(job.record, job.request, before, job.started_at_s is not None, job.steps_done / job.steps)
            for before, job in enumerate(self._jobs.values())
            if job.record.user_id == user_id
        ]

    def start(self, job: OpenJob, started: Started) -> None:
        """Note that a job is being drawn, from its first step on, and what of its request found no room."""
        job.started, job.started_at_s, job.steps_done = started, time.monotonic(), 0
        self.throughput.begin(time.perf_counter())

    def show_progress(self, job: OpenJob, progress: Progress) -> None:
        """Note how far a job is, and show it where its last edit was long enough ago."""
        now = time.monotonic()
        self.throughput.note(progress.step - job.steps_done, time.perf_counter())
        job.steps_done = progress.step
        job.previews = progress.previews or job.previews
        if now - job.edited_at_s < EDIT_INTERVAL_S or job.is_being_told:
            return
        job.edited_at_s = now
        elapsed_s = now - (job.started_at_s or now)
        with speaking(job.request.language):
            content = messages.drawing(job.request, progress.step, progress.steps, elapsed_s)
        self._tell(job, content, job.previews)

    def tell_places(self) -> None:
        """Tell those next in the queue where they are now; the rate limits leave no room for telling everybody."""
        now, steps = time.monotonic(), 0
        for before, job in enumerate(list(self._jobs.values())[:_TOLD_PLACES]):
            steps += job.steps_left
            is_due = job.started_at_s is None and now - job.told_place_at_s >= PLACE_INTERVAL_S
            if not is_due or job.is_ending or job.is_being_told:
                continue
            job.told_place_at_s = job.edited_at_s = now
            with speaking(job.request.language):
                content = messages.waiting(before, self.throughput.expected_s(steps))
            self._tell(job, content)

    def tell(self, job: OpenJob, content: str) -> None:
        """Say something else than its progress in a job's message."""
        if not job.is_ending:
            self._tell(job, content)

    def _tell(self, job: OpenJob, content: str, previews: Sequence[Image.Image] = ()) -> None:
        work = self._show(job.edit, job, content, previews)
        job.edit = self._loop.create_task(work, context=self._context.copy())

    async def _show(
        self, earlier: asyncio.Task[None] | None, job: OpenJob, content: str, previews: Sequence[Image.Image]
    ) -> None:
        if earlier is not None:
            try:
                await asyncio.wait([earlier])
            except asyncio.CancelledError:
                earlier.cancel()
                raise
        try:
            files = []
            if previews and job.has_previews:
                job.has_previews = await self._check.may_be_previewed(previews)
            if previews and job.has_previews:
                encoded = await asyncio.to_thread(encode_preview, previews)
                files = [Attached(f"preview-{job.record.id}.jpg", encoded)]
            await self._messages.progress(job.record, content, files)
        except Exception:
            log.exception("job %d: its progress could not be shown", job.record.id)


def _steps_of(request: DrawRequest) -> int:
    """All steps of a request's pictures."""
    return request.count * steps_anew(request.steps, request.denoise_strength)
