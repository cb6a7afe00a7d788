"""Ends of jobs that no place took: the channel was gone, direct messages were closed. Told when their member next asks.

Called by /queue and /history.
"""

from __future__ import annotations

from typing import Final

import discord

from bot.domain.draw_request import DrawRequest, RequestFormatError
from bot.i18n.catalogue import gettext
from bot.presentation import messages
from bot.presentation.errors import sentence_of
from storage import JobRecord, JobStore

_AT_ONCE: Final = 10


async def tell_untold_ends(interaction: discord.Interaction, jobs: JobStore) -> None:
    """Show the member what they were not told, in a message of its own; the interaction has been answered before.

    What was shown is not shown again; where the message does not arrive, it is.
    """
    untold = await jobs.untold(interaction.user.id, _AT_ONCE)
    if not untold:
        return
    first = gettext(
        "These jobs ended while I could not reach you: their channel is gone or closed to me, and so are your direct "
        "messages. Ask for them again where I can answer."
    )
    await interaction.followup.send(messages.listing([first, *map(_line, untold)]), ephemeral=True)
    await jobs.told([record.id for record in untold])


def _line(record: JobRecord) -> str:
    try:
        return messages.untold_job(record, DrawRequest.from_json(record.request))
    except RequestFormatError as error:
        return f"- {sentence_of(error)}"
