"""A job's messages on Discord, one request at a time: an edit of the reply to its interaction, or a message of its own.

Requests that are repeated show nothing twice: an edit is the same edit again, and a new message carries a nonce that
Discord enforces for some minutes; after that, the message is looked for before it is sent. Where an edit may have
arrived before the token ended, the reply is looked at with the bot's own rights before anything is said elsewhere.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
import discord
from discord.http import Route

from storage import JobRecord, JobStore, StorageError

log = logging.getLogger(__name__)

TOKEN_LIFETIME = timedelta(minutes=14, seconds=30)
_LOOKED_THROUGH = 500
_SPOILER = "SPOILER_"
_PNG = b"\x89PNG"
CONNECTION_ERRORS = (
    aiohttp.ClientError,
    asyncio.TimeoutError,
    OSError,
    discord.RateLimited,
    json.JSONDecodeError,
    UnicodeDecodeError,
)
"""Errors of a request that got no answer from Discord, or none that can be read; it may or may not have arrived."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A file to attach. Discord hides it behind a spoiler where its name says so."""

    name: str
    content: bytes

    @classmethod
    def picture(cls, stem: str, content: bytes, *, is_spoiler: bool = False) -> Attached:
        """An encoded picture; its name says the format."""
        suffix = "png" if content.startswith(_PNG) else "jpg"
        return cls(f"{_SPOILER if is_spoiler else ''}{stem}.{suffix}", content)

    @property
    def stem(self) -> str:
        return self.name.removeprefix(_SPOILER).rpartition(".")[0]

    @property
    def is_spoiler(self) -> bool:
        return self.name.startswith(_SPOILER)


@dataclass(frozen=True, slots=True)
class Message:
    """The content of one message: text, files and controls."""

    content: str
    files: tuple[Attached, ...] = ()
    view: discord.ui.View | None = None


class JobMessages:
    """Writes to Discord. Its methods make one attempt each and raise what discord.py raises."""

    def __init__(self, client: discord.Client, store: JobStore) -> None:
        self._client, self._store = client, store

    async def progress(self, record: JobRecord, content: str, files: Sequence[Attached] = ()) -> None:
        """Edit the reply while the interaction's token lives, and leave its controls; failures are only logged, since
        the next edit says more."""
        if not has_live_token(record):
            return
        try:
            await self._edit(record, Message(content, tuple(files)), view=discord.utils.MISSING)
        except (discord.HTTPException, *CONNECTION_ERRORS) as error:
            log.warning("job %d: its progress could not be shown: %s", record.id, error)

    async def edit(self, record: JobRecord, message: Message, *, may_be_there: bool = False) -> int:
        """Replace the reply to the interaction, controls included; returns the message's id.

        ``may_be_there`` says, here and below, that an earlier attempt may have arrived without the bot's knowing.
        """
        return await self._edit(record, message, message.view)

    async def _edit(self, record: JobRecord, message: Message, view: discord.ui.View | None) -> int:
        webhook = discord.Webhook.partial(
            self._client.application_id or 0, record.interaction_token or "", client=self._client
        )
        message_id = record.message_id or await self._reply_id(record)
        await webhook.edit_message(
            message_id,
            content=message.content,
            attachments=as_files(message.files),
            allowed_mentions=discord.AllowedMentions.none(),
            view=view,
        )
        return message_id

    async def _reply_id(self, record: JobRecord) -> int:
        """The id of the interaction's reply, where the bot stopped before it could store it."""
        route = Route(
            "GET",
            "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
            webhook_id=self._client.application_id or 0,
            webhook_token=record.interaction_token or "",
        )
        message_id = int((await self._client.http.request(route))["id"])
        try:
            await self._store.moved(record.id, message_id)
        except StorageError as error:
            log.warning("job %d: its message could not be stored: %s", record.id, error)
        return message_id

    async def post(self, record: JobRecord, message: Message, *, may_be_there: bool = False) -> int:
        """Say it where the job was asked for, to the member by name; returns the id of the message that says it.

        That is the reply where it says so already. discord.py repeats requests of its own accord, so that the reply is
        looked at in any case.
        """
        channel = self._client.get_partial_messageable(record.channel_id)
        if await self._reply_says(channel, record, message):
            assert record.message_id is not None
            return record.message_id
        return await self._send(channel, record, message, may_be_there)

    async def _reply_says(self, channel: discord.PartialMessageable, record: JobRecord, message: Message) -> bool:
        """Whether the reply shows a message already, as far as the bot may look."""
        if record.message_id is None:
            return False
        try:
            reply = await channel.fetch_message(record.message_id)
        except (discord.Forbidden, discord.NotFound):
            return False
        return _says(reply, message.content, message)

    async def direct(self, record: JobRecord, message: Message, *, may_be_there: bool = False) -> int:
        """Say it to the member directly; returns the new message's id."""
        user = await self._client.fetch_user(record.user_id)
        return await self._send(user, record, message, may_be_there)

    async def _send(
        self, place: discord.abc.Messageable, record: JobRecord, message: Message, may_be_there: bool
    ) -> int:
        found = await self._find(place, record, message) if may_be_there else None
        if found is not None:
            return found
        sent = await place.send(
            _addressed(record, message),
            files=as_files(message.files),
            allowed_mentions=discord.AllowedMentions.none(),
            nonce=f"photomaker-{record.id}",
            view=message.view or discord.utils.MISSING,
        )
        return sent.id

    async def _find(self, place: discord.abc.Messageable, record: JobRecord, message: Message) -> int | None:
        """The id of the message where it is there already, as far as the bot may look."""
        contents = [_addressed(record, message)]
        if message.files:  # their names are the job's own, so that the reply itself can be told from other replies
            contents.append(message.content)
        since = None if record.message_id is None else discord.Object(record.message_id)
        try:
            async for one in place.history(limit=_LOOKED_THROUGH, after=since):
                if one.author == self._client.user and any(_says(one, content, message) for content in contents):
                    return one.id
        except (discord.Forbidden, discord.NotFound):
            return None
        return None


def _says(shown: discord.Message, content: str, message: Message) -> bool:
    names = [one.name for one in message.files]
    return shown.content.strip() == content.strip() and [one.filename for one in shown.attachments] == names


def _addressed(record: JobRecord, message: Message) -> str:
    return f"<@{record.user_id}> {message.content}"


def has_live_token(record: JobRecord) -> bool:
    return bool(record.interaction_token) and datetime.now(UTC) - record.created_at < TOKEN_LIFETIME


def as_files(files: Sequence[Attached]) -> list[discord.File]:
    """Files as discord.py sends them; it keeps what their names say about spoilers."""
    return [discord.File(io.BytesIO(one.content), one.name) for one in files]
