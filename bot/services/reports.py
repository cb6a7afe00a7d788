"""Reports of pictures: to the channel that the server's moderators chose, else to the log.

The log has who reported what; the reason, a member's own words which no deletion takes out of a log, only where no
channel took it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import discord

from bot.domain.member_text import block_quote, cleaned_lines
from bot.i18n.catalogue import gettext, language_of, speaking
from photomaker_core.errors import UserError
from storage import JobRecord, ServerStore

log = logging.getLogger(__name__)

MOST_IN_AN_HOUR: Final = 5
_HOUR_S: Final = 3600.0
_MOST_REMEMBERED: Final = 50_000
_SHOWN_CHARACTERS: Final = 1500


class ReportError(UserError):
    """A report that is not taken: a second one of the same picture, or one too many in an hour."""


class Reports:
    """Takes reports of pictures: each picture once from each member, and a few an hour.

    Both are remembered in memory. A restart forgets them, so a member can file a report again after one; the
    moderators see who it is.
    """

    def __init__(self, servers: ServerStore, now_s: Callable[[], float] = time.monotonic) -> None:
        self._servers, self._now_s = servers, now_s
        self._times_s: dict[int, deque[float]] = {}
        self._reported: dict[tuple[int, int], None] = {}

    async def report(self, interaction: discord.Interaction, record: JobRecord, reason: str) -> str:
        """Report the message under which the interaction happened; returns the sentence for the member.

        Raises :class:`ReportError` for a second report of one picture, and for too many in an hour.
        """
        self._count(interaction.user.id, record.id)
        message = interaction.message
        link = message.jump_url if message is not None else f"job {record.id}"
        log.warning("user %d reports job %d by user %d", interaction.user.id, record.id, record.user_id)
        channel_id = None
        if interaction.guild_id is not None:
            channel_id = (await self._servers.rules(interaction.guild_id)).report_channel
        if channel_id is None:
            _log_reason(record, reason)
            return gettext("Reported to the bot's operator. Moderators can also delete the picture.")
        with speaking(language_of(interaction.guild_locale)):
            told = gettext(
                "🚩 {reporter} reports {link} by {author}:",
                reporter=interaction.user.mention,
                link=link,
                author=f"<@{record.user_id}>",
            )
        text = f"{told}\n{block_quote(reason, _SHOWN_CHARACTERS)}"
        try:
            channel = interaction.client.get_partial_messageable(channel_id)
            await channel.send(text, allowed_mentions=discord.AllowedMentions.none())
        except discord.HTTPException:
            log.warning("the report channel %d cannot be written to", channel_id, exc_info=True)
            _log_reason(record, reason)
            return gettext("The moderators' channel cannot be reached; the bot's operator has your report.")
        return gettext("Reported to the moderators.")

    def _count(self, user_id: int, job_id: int) -> None:
        """Remember a report. Nothing is awaited here, so that two at once cannot both pass."""
        if (user_id, job_id) in self._reported:
            raise ReportError("You have reported this picture already.")
        now_s = self._now_s()
        recent = deque(time_s for time_s in self._times_s.pop(user_id, ()) if now_s - time_s < _HOUR_S)
        self._times_s[user_id] = recent
        if len(recent) >= MOST_IN_AN_HOUR:
            raise ReportError(
                "You have reported {number} pictures within an hour, which is the most. "
                "Please write to the moderators yourself.",
                number=len(recent),
            )
        recent.append(now_s)
        self._reported[user_id, job_id] = None
        if len(self._reported) > _MOST_REMEMBERED:
            del self._reported[next(iter(self._reported))]
        if len(self._times_s) > _MOST_REMEMBERED:
            del self._times_s[next(iter(self._times_s))]


def _log_reason(record: JobRecord, reason: str) -> None:
    log.warning("the report of job %d says: %s", record.id, " / ".join(cleaned_lines(reason)))
