"""Downloads of what members attach, or of pictures that a message shows. Called by commands, buttons and forms."""

from __future__ import annotations

import logging

import aiohttp
import discord

from photomaker_core.errors import PhotoError

log = logging.getLogger(__name__)


async def downloaded(attachment: discord.Attachment) -> bytes:
    """The bytes of an attachment.

    Raises :class:`PhotoError` where Discord does not hand them out: addresses expire, and what is deleted is gone.
    """
    try:
        return await attachment.read()
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.warning("attachment %d could not be downloaded: %s", attachment.id, error)
        raise PhotoError(
            "I could not download {name} from Discord. Please try again, with a fresh upload if it stays so.",
            name=attachment.filename,
        ) from error
