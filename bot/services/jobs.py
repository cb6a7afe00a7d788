"""The life of a job: ``queued -> running -> drawn -> delivered``, or ``failed``, or ``cancelled``.

- ``queued``: its row is there, written in the transaction that counted the member's jobs; only then is the member told.
- ``running``: its drawing has begun. That is asked of the event loop by the worker, right before it begins: may the
  member still draw these people, and what picture does it start from? Each beginning counts as an attempt; a job that
  was begun three times and never ended has stopped the process, and is not tried again. (A worker in a process of its
  own begins a job again where that process has ended, and has its own rule for those that end it.)
- ``drawn``: its encoded pictures lie in the database, written in the transaction that ended the drawing.
- ``delivered``: the member has them, and the pictures are erased unless they are to be kept.
- ``failed``, ``cancelled``, ``refused``: it ended without pictures, with a sentence for the member. What is refused has
  been drawn and may not be shown there; nothing of it is stored.

The first end counts: a row is only changed from an open state, so that a cancelled job is never drawn. Whatever ended
awaits delivery (:mod:`bot.services.delivery`) until the member knows.

A restart goes on from the rows. Before the model is loaded, what is open can be seen and cancelled, and what awaits
delivery is delivered; afterwards the open jobs are drawn, those that were begun before one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import discord

from bot.domain.draw_request import DrawRequest
from bot.i18n.catalogue import current, gettext, speaking
from bot.presentation import messages
from bot.presentation.errors import sentence_for
from bot.services.delivery import Delivery, language_of
from bot.services.draw_contexts import DrawContextService
from bot.services.drawn_results import NotShownError, results_of
from bot.services.identities import IdentityService
from bot.services.job_messages import CONNECTION_ERRORS, JobMessages, Message
from bot.services.job_submission import JobSubmission, NotOpenError
from bot.services.open_jobs import JobView, OpenJob, OpenJobs
from bot.services.picture_check import PictureCheck
from bot.workers.model_worker import ModelWorker, WorkerError
from photomaker_core.errors import UserError
from photomaker_core.provenance.marking import Marking
from photomaker_core.serving.runner import Cancelled, Event, Failed, Finished, Progress, Started
from storage import UNLIMITED, JobLimits, JobRecord, JobStore, NewJob, StorageError
from storage.jobs import CANCELLED, DRAWN, FAILED, REFUSED

log = logging.getLogger(__name__)

MOST_ATTEMPTS: Final = 3
FORGET_PATIENCE_S: Final = 5.0
STOP_PATIENCE_S: Final = 5.0
TELL_AGAIN_AFTER_S = 1.0

_KEPT: Final = "⏸️ I am being restarted. Your picture is kept and will be drawn as soon as I am back."
_STUCK: Final = "⚠️ Drawing has stopped on my side. Your picture is kept and will be drawn as soon as it goes on."
_KILLS: Final = "Drawing this has stopped me three times, so I do not try it again. Please ask for something else."


@dataclass(frozen=True, slots=True)
class Controls:
    """The controls of a job's message: makers of fresh views, while the job is drawn and when it is done."""

    running: Callable[[], discord.ui.View]
    done: Callable[[DrawRequest], discord.ui.View]


class JobService:
    """Owns the jobs from acceptance to their end; from there the delivery owns them."""

    def __init__(
        self,
        client: discord.Client,
        store: JobStore,
        gpu: ModelWorker,
        identities: IdentityService,
        contexts: DrawContextService,
        controls: Controls,
        marking: Marking,
        check: PictureCheck,
        *,
        keep_pictures: bool,
        role_weights: Mapping[int, float],
    ) -> None:
        self._store = store
        self._gpu, self._identities, self._controls = gpu, identities, controls
        self._messages = JobMessages(client, store)
        self._delivery = Delivery(store, self._messages, controls.done, marking, check, keep_pictures=keep_pictures)
        self._open = OpenJobs(self._messages, check)
        self.throughput = self._open.throughput
        self._submission = JobSubmission(store, identities, contexts, gpu, self._on_loop)
        self._role_weights, self._marking, self._check = role_weights, marking, check
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_draining = self._is_closing = False
        gpu.on_trouble = lambda trouble: self._on_loop(lambda: self._tell_trouble(trouble))

    @property
    def open_count(self) -> int:
        return len(self._open)

    @property
    def steps_left(self) -> int:
        """Steps that the open jobs still need."""
        return self._open.steps_left

    def open_of(self, user_id: int) -> list[JobView]:
        """A member's open jobs, oldest first, each with the number of jobs that were there before it."""
        return self._open.of_member(user_id)

    async def accept(
        self,
        interaction: discord.Interaction,
        request: DrawRequest,
        source: bytes | None = None,
        limits: JobLimits = UNLIMITED,
    ) -> None:
        """Take over a deferred interaction: store its job, tell its place in the queue, have it drawn.

        ``source`` is the picture that the request starts from. Raises :class:`UserError`, or :class:`LimitReachedError`
        where there is as much as the ``limits`` allow, or the wait would be longer.
        """
        if self._gpu.trouble is not None:
            raise self._gpu.trouble
        if self._is_draining:
            raise UserError("I am stopping right now. Please try again in a minute.")
        request = replace(request, weight=self._weight_of(interaction.user), language=current())
        new = NewJob(
            user_id=interaction.user.id,
            channel_id=interaction.channel_id or 0,
            message_id=None,
            interaction_token=interaction.token,
            request=request.to_json(),
            source=source,
            guild_id=request.guild_id,
            pictures=request.count,
            identity_ids=tuple(dict.fromkeys(one.identity_id for one in request.identities)),
        )
        with self._open.room_for(request, limits.wait_s) as place:
            record = await self._store.accept(new, limits)
            job = OpenJob(record, request, time.monotonic())
            self._open.add(job)
        content = messages.waiting(place.jobs_before, place.expected_s)
        if self._gpu.is_starting_again:
            content = f"{content}\n{gettext(_STUCK)}"
        job.edit = self._loop.create_task(self._tell_accepted(interaction, job, content))
        self._spawn(self._submit(job))
        await asyncio.wait([job.edit])

    async def _tell_accepted(self, interaction: discord.Interaction, job: OpenJob, content: str) -> None:
        """Show the place in the queue, and note which message does: its button finds the job by that.

        An answer that is lost is asked for once more. The job is stored: where this fails, its next message says more.
        """
        try:
            try:
                message_id = (
                    await interaction.edit_original_response(content=content, view=self._controls.running())
                ).id
            except CONNECTION_ERRORS as error:
                log.info("job %d: its place in the queue may not be shown yet: %s", job.record.id, error)
                await asyncio.sleep(TELL_AGAIN_AFTER_S)
                message_id = await self._messages.edit(job.record, Message(content, view=self._controls.running()))
            job.record = replace(job.record, message_id=message_id)
            await self._store.moved(job.record.id, message_id)
        except (discord.HTTPException, *CONNECTION_ERRORS, StorageError) as error:
            log.warning("job %d: its place in the queue could not be shown: %s", job.record.id, error)

    def _weight_of(self, user: discord.User | discord.Member) -> float:
        """The largest weight among a member's roles; 1 for everybody else."""
        roles = user.roles if isinstance(user, discord.Member) else []
        return max((self._role_weights[role.id] for role in roles if role.id in self._role_weights), default=1.0)

    def cancel(self, job_id: int) -> bool:
        """End a job now, whatever the GPU thread is doing; whether there was one to end."""
        job = self._open.get(job_id)
        if job is None or job.is_ending:
            return False
        self._gpu.cancel(job_id)
        self._end(job, Cancelled())
        return True

    async def cancel_all_of(self, user_id: int) -> None:
        """End a member's open jobs and wait a while until each has told them so; what is not delivered by then is
        dropped."""
        own = [job for job in self._open if job.record.user_id == user_id]
        for job in own:
            self.cancel(job.record.id)
        ends = [self._loop.create_task(job.ended.wait()) for job in own]
        if ends:
            await asyncio.wait(ends, timeout=FORGET_PATIENCE_S)
        await self._delivery.finish(user_id, patience_s=FORGET_PATIENCE_S)

    async def restore(self) -> None:
        """Take up what an earlier run left, before there is a model: deliver what has ended, show what is open."""
        for record in await self._store.undelivered():
            self._delivery.start(record)
        for record in await self._store.unfinished():
            with speaking(language_of(record)):
                try:
                    job = OpenJob(record, DrawRequest.from_json(record.request), time.monotonic())
                    if record.attempts >= MOST_ATTEMPTS:
                        log.error("job %d was begun %d times and never ended", record.id, record.attempts)
                        raise UserError(_KILLS)
                    self._open.add(job)
                except Exception as error:
                    self._failed(record, error)

    async def resume(self) -> None:
        """Have drawn what :meth:`restore` found, now that the model is loaded or has failed to load."""
        waiting = [job for job in self._open if not job.is_submitted]
        for job in waiting:
            if not job.record.attempts:
                await self._submit(job)
        begun = sorted((job for job in waiting if job.record.attempts), key=lambda job: job.record.attempts)
        self._spawn(self._submit_one_by_one(begun))

    async def drain(self, patience_s: float) -> None:
        """Accept and begin no job any more, and wait so long for those that are being drawn."""
        self._stop_beginning()
        await self._submission.at_rest(patience_s)
        begun = [job for job in self._open if job.is_begun and not job.ended.is_set()]
        if not begun or not patience_s or self._gpu.trouble is not None:
            return
        log.info("%d jobs are being drawn; waiting up to %.0f s for them", len(begun), patience_s)
        ends = [self._loop.create_task(job.ended.wait()) for job in begun]
        try:
            await asyncio.wait(ends, timeout=patience_s)
        finally:
            for end in ends:
                end.cancel()

    async def close(self) -> None:
        """Begin nothing any more, let the deliveries arrive for a moment, and put back what is being drawn."""
        if self._is_closing:
            return
        self._stop_beginning()
        self._is_closing = True
        for task in list(self._tasks):
            task.cancel()
        waiting = list(self._open)
        for job in waiting:
            with speaking(job.request.language):
                self._open.tell(job, gettext(_KEPT))
        edits = [job.edit for job in waiting if job.edit is not None and not job.is_ending]
        await asyncio.gather(
            self._delivery.finish(patience_s=STOP_PATIENCE_S),
            *([asyncio.wait(edits, timeout=STOP_PATIENCE_S)] if edits else []),
        )
        for edit in edits:
            edit.cancel()
        open_ids = [job.record.id for job in waiting]
        try:
            await self._store.interrupted(open_ids)
        except StorageError as error:
            log.warning("the running jobs count as attempts: %s", error)

    def _stop_beginning(self) -> None:
        self._is_draining = True
        self._submission.close()

    async def _submit_one_by_one(self, jobs: Sequence[OpenJob]) -> None:
        """Those that stop the process take no others along."""
        for job in jobs:
            await self._submit(job)
            await job.ended.wait()

    async def _submit(self, job: OpenJob) -> None:
        job.is_submitted = True
        try:
            await self._submission.submit(job, lambda event: self._on_loop(lambda: self._receive(job, event)))
        except Exception as error:
            self._end(job, Failed(error))

    def _receive(self, job: OpenJob, event: Event) -> None:
        """Take an event of the GPU thread, on the event loop."""
        if job.is_ending or self._is_closing:
            return
        match event:
            case Started():
                self._open.start(job, event)
            case Progress():
                self._open.show_progress(job, event)
            case Failed(error=WorkerError()):
                job.is_begun, job.started_at_s = False, None
            case Failed(error=NotOpenError()) if self._is_draining:
                log.info("job %d waits for the next start", job.record.id)
            case Failed() | Finished() | Cancelled():
                self._end(job, event)

    def _end(self, job: OpenJob, event: Finished | Failed | Cancelled) -> None:
        if not job.is_ending:
            job.is_ending = True
            self._spawn(self._conclude(job, event))

    async def _conclude(self, job: OpenJob, event: Finished | Failed | Cancelled) -> None:
        """Hand a job over to the delivery."""
        try:
            with speaking(job.request.language):
                match event:
                    case Finished():
                        await self._drawn(job, event)
                    case Failed(error=NotOpenError()):
                        log.info("job %d was ended before it began", job.record.id)
                    case Failed():
                        self._failed(job.record, event.error, job.edit)
                    case Cancelled():
                        record = job.record
                        ended = replace(record, state=CANCELLED, finished_at=datetime.now(UTC))
                        self._delivery.start(ended, lambda: self._store.cancelled(record.id), said_before=job.edit)
        finally:
            self._open.remove(job)
            job.ended.set()
            self._open.tell_places()

    def _failed(self, record: JobRecord, error: Exception, said_before: asyncio.Task[None] | None = None) -> None:
        """End a job without pictures; what may not be shown is no failure."""
        sentence = sentence_for(error, f"job {record.id}")
        is_refused = isinstance(error, NotShownError)
        end = self._store.refused if is_refused else self._store.failed
        state = REFUSED if is_refused else FAILED
        ended = replace(record, state=state, error=sentence, finished_at=datetime.now(UTC))
        self._delivery.start(ended, lambda: end(record.id, sentence), said_before=said_before)

    async def _drawn(self, job: OpenJob, event: Finished) -> None:
        record, request, started = job.record, job.request, job.started or Started("")
        try:
            drawn = await results_of(record.channel_id, request, started, event, self._check, self._marking)
        except Exception as error:
            self._failed(record, error, job.edit)
            return
        ended = replace(
            record,
            state=DRAWN,
            request={**record.request, **drawn.found},
            dropped_text=started.dropped_text,
            finished_at=datetime.now(UTC),
        )
        self._delivery.start(
            ended,
            lambda: self._store.drawn(record.id, drawn.results, started.dropped_text, drawn.found),
            drawn.pictures,
            said_before=job.edit,
        )

    def _tell_trouble(self, trouble: WorkerError | None) -> None:
        """Tell every open job that drawing has stopped, or where it is now that it goes on; the rows stay open."""
        if trouble is None:
            self._open.tell_places()
            return
        for job in self._open:
            with speaking(job.request.language):
                self._open.tell(job, gettext(_STUCK))

    def _on_loop(self, work: Callable[[], object]) -> None:
        """Call ``work`` on the event loop, from another thread; does nothing when the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work, context=self._context)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a job could not be moved on", exc_info=task.exception())
