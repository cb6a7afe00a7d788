"""The outbox: what ends a job reaches its member, by retries until it arrives, after a restart too.

A delivery goes from place to place: the reply to the interaction while its token lives, then the channel, then a direct
message. Discord's answer says what is next: later again (5xx, 429 and its Retry-After, lost connections), the next
place (the webhook, the message or the channel is gone or closed), or smaller files (413). When no place is left, or a
day has passed, the delivery is given up and the row says why. Called by the job service.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import TypeVar

import discord
from PIL import Image

from bot.domain.draw_request import DrawRequest, RequestFormatError
from bot.i18n.catalogue import ENGLISH, gettext, speaking
from bot.presentation import messages
from bot.presentation.errors import sentence_of
from bot.presentation.image_files import encode_pictures
from bot.services.job_messages import CONNECTION_ERRORS, Attached, JobMessages, Message, has_live_token
from bot.services.picture_check import PictureCheck, note_on_left_out
from photomaker_core.provenance.marking import Marking
from storage import DrawnPicture, JobRecord, JobStore, StorageError
from storage.jobs import CANCELLED, DRAWN

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_WAIT_S = 1.0
MOST_WAIT_S = 300.0
SAVE_PATIENCE_S = 2.0
EDIT_PATIENCE_S = 30.0
GIVE_UP_AFTER = timedelta(days=1)
_TOO_LARGE = 40005
_SMALLER = 0.5
_LAST_SHRINKING = 0.95


class Next(Enum):
    """The next action after an attempt that failed."""

    AGAIN = auto()
    ELSEWHERE = auto()
    SMALLER = auto()


class UndeliverableError(Exception):
    """No place is left where the member could be told; the reason is for the operator."""


class Delivery:
    """Owns the jobs from their end until their members know. ``controls`` makes the view of a drawn job's message."""

    def __init__(
        self,
        store: JobStore,
        job_messages: JobMessages,
        controls: Callable[[DrawRequest], discord.ui.View],
        marking: Marking,
        check: PictureCheck,
        *,
        keep_pictures: bool,
    ) -> None:
        self._store, self._messages, self._controls = store, job_messages, controls
        self._marking, self._check, self._keep_pictures = marking, check, keep_pictures
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._context = contextvars.copy_context()

    def start(
        self,
        record: JobRecord,
        save: Callable[[], Awaitable[bool]] | None = None,
        pictures: Sequence[DrawnPicture] | None = None,
        *,
        said_before: asyncio.Task[None] | None = None,
    ) -> None:
        """Deliver a job that has ended. ``save`` writes that end, unless its row holds it already; ``pictures`` are the
        encoded ones, read from the row where they are left out; ``said_before`` is an edit that is still under way."""
        work = self._deliver(record, save, pictures, said_before)
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        self._tasks[task] = record.user_id
        task.add_done_callback(self._end)

    async def finish(self, user_id: int | None = None, *, patience_s: float) -> None:
        """Wait so long for the deliveries, of one member or of all, and drop those that have not arrived by then."""
        own = [task for task, owner in self._tasks.items() if user_id in (None, owner)]
        if own:
            _, late = await asyncio.wait(own, timeout=patience_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("a job's end could not be delivered", exc_info=task.exception())

    async def _deliver(
        self,
        record: JobRecord,
        save: Callable[[], Awaitable[bool]] | None,
        pictures: Sequence[DrawnPicture] | None,
        said_before: asyncio.Task[None] | None,
    ) -> None:
        saving = None if save is None else asyncio.ensure_future(self._write(save, record.id))
        try:
            if saving is not None:
                await asyncio.wait([saving], timeout=SAVE_PATIENCE_S)
                if saving.done() and not saving.result():
                    return
            if said_before is not None:
                _, late = await asyncio.wait([said_before], timeout=EDIT_PATIENCE_S)
                for edit in late:  # discord.py sends no second request to a reply before it ends
                    edit.cancel()
            with speaking(language_of(record)):
                try:
                    message = await self._message(record, pictures)
                    message_id = await self._send(record, message, may_be_there=save is None)
                    settle = self._settle(record.id, message_id)
                except UndeliverableError as error:
                    log.warning("job %d: its member cannot be told: %s", record.id, error)
                    settle = self._settle(record.id, None, str(error))
            if saving is None or await saving:
                await self._write(settle, record.id)
        finally:
            if saving is not None:
                saving.cancel()

    def _settle(self, job_id: int, message_id: int | None, reason: str = "") -> Callable[[], Awaitable[bool]]:
        async def settle() -> bool:
            if reason:
                await self._store.undeliverable(job_id, reason, keep_pictures=self._keep_pictures)
            else:
                await self._store.delivered(job_id, message_id, keep_pictures=self._keep_pictures)
            return True

        return settle

    async def _write(self, write: Callable[[], Awaitable[bool]], job_id: int) -> bool:
        """Write a row; returns what the write does, or True where it fails for good: the member is told anyway."""
        try:
            return await _insistently(write, job_id)
        except Exception:
            log.exception("job %d: its row cannot be written", job_id)
            return True

    async def _message(self, record: JobRecord, pictures: Sequence[DrawnPicture] | None) -> Message:
        if record.state == DRAWN:
            if pictures is None:
                pictures = await _insistently(lambda: self._store.pictures(record.id), record.id)
            try:
                request = DrawRequest.from_json(record.request)
            except RequestFormatError as error:
                return Message(sentence_of(error), attached(record.id, pictures))
            text = messages.result(request, record.dropped_text or "")
            return Message(text, attached(record.id, pictures), self._controls(request))
        return Message(gettext("Cancelled.") if record.state == CANCELLED else record.error or "")

    async def _send(self, record: JobRecord, message: Message, *, may_be_there: bool) -> int:
        """Say it at the first place that takes it; returns the message's id. Raises :class:`UndeliverableError`."""
        places = [self._messages.edit, self._messages.post, self._messages.direct]
        wait_s = FIRST_WAIT_S
        reasons = []
        while places:
            if places[0] == self._messages.edit and not has_live_token(record):
                places.pop(0)
            if places[0] == self._messages.direct:
                message = await self._private(message)
            try:
                return await places[0](record, message, may_be_there=may_be_there)
            except Exception as error:
                following = what_next(error, is_reply=places[0] == self._messages.edit)
                if following is Next.SMALLER and message.files:
                    instead = gettext(_TOO_LARGE_SENTENCE)
                    message = await asyncio.to_thread(_smaller, message, self._marking, instead)
                elif following is not Next.AGAIN:
                    log.info("job %d: %s; trying elsewhere", record.id, error)
                    reasons.append(str(error))
                    places.pop(0)
                elif record.finished_at and datetime.now(UTC) - record.finished_at > GIVE_UP_AFTER:
                    raise UndeliverableError(f"it was tried for a day; at last: {error}") from error
                else:
                    is_known = isinstance(error, (discord.HTTPException, *CONNECTION_ERRORS))
                    log.warning("job %d: not delivered yet, trying again: %r", record.id, error, exc_info=not is_known)
                    may_be_there = True
                    await asyncio.sleep(max(wait_s, retry_after_s(error)))
                    wait_s = min(2 * wait_s, MOST_WAIT_S)
        raise UndeliverableError("; ".join(reasons))

    async def _private(self, message: Message) -> Message:
        """The same for a direct message, where other rules hold for what lies behind a spoiler."""
        files = await self._check.for_direct_message(message.files)
        if len(files) == len(message.files):
            return replace(message, files=files)
        return replace(message, content=f"{message.content}\n{note_on_left_out()}", files=files)


async def _insistently(work: Callable[[], Awaitable[T]], job_id: int) -> T:
    """Read or write again and again while the database is busy, full or read-only."""
    wait_s = FIRST_WAIT_S
    while True:
        try:
            return await work()
        except StorageError as error:
            log.warning("job %d: its row cannot be reached yet: %s", job_id, error)
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, MOST_WAIT_S)


def what_next(error: Exception, *, is_reply: bool) -> Next:
    """Choose the next action from a failure; ``is_reply`` is true where an interaction's reply was edited."""
    if not isinstance(error, discord.HTTPException):
        return Next.AGAIN
    if error.status == 413 or error.code == _TOO_LARGE:
        return Next.SMALLER
    is_our_own_token = error.status == 401 and not is_reply
    return Next.AGAIN if error.status == 429 or error.status >= 500 or is_our_own_token else Next.ELSEWHERE


def retry_after_s(error: Exception) -> float:
    """The seconds that Discord asks to wait; 0 where it names none."""
    if isinstance(error, discord.RateLimited):
        return error.retry_after
    if isinstance(error, discord.HTTPException):
        try:
            return float(error.response.headers.get("Retry-After", 0))
        except (TypeError, ValueError):
            return 0.0
    return 0.0


def attached(job_id: int, pictures: Sequence[DrawnPicture]) -> tuple[Attached, ...]:
    """A job's pictures as files."""
    return tuple(
        Attached.picture(f"picture-{job_id}-{number}", one.content, is_spoiler=one.is_spoiler)
        for number, one in enumerate(pictures, start=1)
    )


def language_of(record: JobRecord) -> str:
    """The language of a job's member, also where the rest of the request cannot be read."""
    language = record.request.get("language") if isinstance(record.request, dict) else None
    return language if isinstance(language, str) else ENGLISH


def _smaller(message: Message, marking: Marking, instead: str) -> Message:
    """The same with files half as large, or without files and with a sentence where that cannot be. Slow."""
    before = sum(len(one.content) for one in message.files)
    pictures = [Image.open(io.BytesIO(one.content)).convert("RGB") for one in message.files]
    _, contents = encode_pictures(pictures, marking.of_marked_pixels, round(_SMALLER * before))
    if sum(map(len, contents)) < _LAST_SHRINKING * before:
        files = [
            Attached.picture(one.stem, content, is_spoiler=one.is_spoiler)
            for one, content in zip(message.files, contents, strict=True)
        ]
        return replace(message, files=tuple(files))
    return Message(f"{message.content}\n{instead}", view=message.view)


_TOO_LARGE_SENTENCE = "The picture is drawn, but Discord takes no file as large as this here. Try a smaller shape."
