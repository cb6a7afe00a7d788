"""What a job says, while it is drawn and when it has ended: the reply to its interaction, or a message of its own."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import discord

from storage import JobRecord, JobStore

log = logging.getLogger(__name__)

TOKEN_LIFETIME = timedelta(minutes=14, seconds=30)


@dataclass(frozen=True, slots=True)
class Attached:
    """A file to attach."""

    name: str
    content: bytes


class Replies:
    """Writes to Discord for the job desk."""

    def __init__(self, client: discord.Client, store: JobStore) -> None:
        self._client, self._store = client, store

    async def send(
        self,
        record: JobRecord,
        content: str,
        files: Sequence[Attached] = (),
        *,
        final: bool = False,
        view: discord.ui.View | None = None,
    ) -> None:
        """Edit the interaction's reply while its token lives; after that only what ends a job is posted.

        It is posted where the job was asked for, or to the member directly where the bot may not write there. What ends
        a job replaces the controls of the running one by ``view``.
        """
        mentions = discord.AllowedMentions.none()
        try:
            if record.interaction_token and datetime.now(UTC) - record.created_at < TOKEN_LIFETIME:
                webhook = discord.Webhook.partial(
                    self._client.application_id or 0, record.interaction_token, client=self._client
                )
                await webhook.edit_message(
                    record.message_id or 0,
                    content=content,
                    attachments=_as_files(files),
                    allowed_mentions=mentions,
                    view=view if final else discord.utils.MISSING,
                )
            elif final:
                text = f"<@{record.user_id}> {content}"
                posted = await self._post(record, text, files, {} if view is None else {"view": view})
                await self._store.moved(record.id, posted.id)
        except discord.HTTPException:
            log.warning("job %d: the reply could not be updated", record.id, exc_info=True)

    async def _post(
        self, record: JobRecord, text: str, files: Sequence[Attached], extra: dict[str, Any]
    ) -> discord.Message:
        how = {"allowed_mentions": discord.AllowedMentions.none(), **extra}
        try:
            channel = self._client.get_partial_messageable(record.channel_id)
            return await channel.send(text, files=_as_files(files), **how)
        except (discord.Forbidden, discord.NotFound):
            user = await self._client.fetch_user(record.user_id)
            return await user.send(text, files=_as_files(files), **how)


def _as_files(files: Sequence[Attached]) -> list[discord.File]:
    return [discord.File(io.BytesIO(one.content), one.name) for one in files]
