"""Reports of pictures: to the channel that the server's moderators chose, and always to the log."""

from __future__ import annotations

import logging

import discord

from bot.i18n.catalogue import gettext, language_of, speaking
from bot.presentation.messages import quoted
from storage import JobRecord, ServerStore

log = logging.getLogger(__name__)

_SHOWN_CHARACTERS = 500


class Reports:
    """Hands reports on."""

    def __init__(self, servers: ServerStore) -> None:
        self._servers = servers

    async def report(self, interaction: discord.Interaction, record: JobRecord, reason: str) -> str:
        """Report the message under which the interaction happened; returns what to tell the member."""
        message = interaction.message
        link = message.jump_url if message is not None else f"job {record.id}"
        log.warning("user %d reports job %d by user %d: %s", interaction.user.id, record.id, record.user_id, reason)
        channel_id = None
        if interaction.guild_id is not None:
            channel_id = (await self._servers.rules(interaction.guild_id)).report_channel
        if channel_id is None:
            return gettext("Reported to the bot's operator. Moderators can also delete the picture.")
        with speaking(language_of(interaction.guild_locale)):
            told = gettext(
                "🚩 {reporter} reports {link} by {author}:",
                reporter=interaction.user.mention,
                link=link,
                author=f"<@{record.user_id}>",
            )
        text = f"{told}\n> {quoted(reason, _SHOWN_CHARACTERS)}"
        try:
            channel = interaction.client.get_partial_messageable(channel_id)
            await channel.send(text, allowed_mentions=discord.AllowedMentions.none())
        except discord.HTTPException:
            log.warning("the report channel %d cannot be written to", channel_id, exc_info=True)
            return gettext("The moderators' channel cannot be reached; the bot's operator has your report.")
        return gettext("Reported to the moderators.")
