"""What a job says, while it is drawn and when it has ended: the reply to its interaction, or a message of its own."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import discord

from storage import JobRecord, JobStore

log = logging.getLogger(__name__)

TOKEN_LIFETIME = timedelta(minutes=14, seconds=30)


class Replies:
    """Writes to Discord for the job desk."""

    def __init__(self, client: discord.Client, store: JobStore) -> None:
        self._client, self._store = client, store

    async def send(
        self,
        record: JobRecord,
        content: str,
        files: list[discord.File] | None = None,
        *,
        final: bool = False,
        view: discord.ui.View | None = None,
    ) -> None:
        """Edit the interaction's reply while its token lives; after that only what ends a job is posted.

        What ends a job replaces the controls of the running one by ``view``.
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
                    attachments=files or [],
                    allowed_mentions=mentions,
                    view=view if final else discord.utils.MISSING,
                )
            elif final:
                channel = self._client.get_partial_messageable(record.channel_id)
                text = f"<@{record.user_id}> {content}"
                extra: dict[str, Any] = {} if view is None else {"view": view}
                posted = await channel.send(text, files=files or [], allowed_mentions=mentions, **extra)
                await self._store.moved(record.id, posted.id)
        except discord.HTTPException:
            log.warning("job %d: the reply could not be updated", record.id, exc_info=True)
