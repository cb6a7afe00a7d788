"""What was drawn of a member's people: pages of it, and deleting one of the pictures. Called by /identity activity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord

from bot.services.job_messages import CONNECTION_ERRORS
from photomaker_core.errors import UserError
from storage import ActivityStore, JobRecord, PastJob


@dataclass(frozen=True, slots=True)
class DeletedPicture:
    """The outcome of a deletion: whether the message is gone too, and whether the database's files hold no trace."""

    message_is_gone: bool
    is_final: bool


class ActivityService:
    """Shows and deletes for the owner of an identity alone."""

    def __init__(self, client: discord.Client, store: ActivityStore) -> None:
        self._client, self._store = client, store

    async def page(self, owner_id: int, identity_id: int, limit: int, offset: int) -> Sequence[PastJob]:
        """Some of the jobs with a person of the owner's, the newest first; raises :class:`NotFoundError`."""
        return await self._store.of(owner_id, identity_id, limit, offset)

    async def delete(self, owner_id: int, identity_id: int, job_id: int) -> DeletedPicture:
        """Delete a picture's message, then what is stored of it.

        Raises :class:`NotFoundError`, and :class:`UserError` while Discord does not answer: then all is as it was.
        """
        record = await self._store.find(owner_id, identity_id, job_id)
        message_is_gone = await self._delete_message(record)
        return DeletedPicture(message_is_gone, await self._store.erase(owner_id, identity_id, job_id))

    async def _delete_message(self, record: JobRecord) -> bool:
        if record.message_id is None:
            return True
        channel = self._client.get_partial_messageable(record.channel_id)
        try:
            await channel.get_partial_message(record.message_id).delete()
        except discord.NotFound:
            return True
        except discord.Forbidden:
            return False
        except (discord.HTTPException, *CONNECTION_ERRORS):
            raise UserError("Discord does not answer right now. Please try again in a minute.") from None
        return True
