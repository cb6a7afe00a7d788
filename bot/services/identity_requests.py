"""Requests to be drawn: brought to the member who is asked, and their answer to the one who asked. Called by
/identity ask and the buttons of its message."""

from __future__ import annotations

import logging
from collections.abc import Callable

import discord

from bot.domain.identity_names import shown
from bot.domain.member_text import escaped
from bot.i18n.catalogue import gettext, language_of, speaking
from bot.services.job_messages import CONNECTION_ERRORS
from photomaker_core.errors import UserError
from storage import IdentityInfo, IdentityRequestStore, RequestInfo

log = logging.getLogger(__name__)


class IdentityRequestService:
    """Asks, and tells. ``store`` holds the rules of how often."""

    def __init__(self, client: discord.Client, store: IdentityRequestStore) -> None:
        self._client, self.store = client, store

    async def ask(
        self,
        interaction: discord.Interaction,
        member: discord.User | discord.Member,
        buttons: Callable[[RequestInfo], discord.ui.View],
    ) -> bool:
        """Ask a member of this server; returns whether that happened by direct message, else it was in this channel.

        Raises :class:`UserError` for somebody who cannot be asked, :class:`StorageError` for one who may not be.
        """
        if interaction.guild_id is None or not isinstance(member, discord.Member):
            raise UserError("You can ask members of the server you are on. Use this there.")
        if member.bot or member.id == interaction.user.id:
            raise UserError("Name a member to ask, somebody other than you.")
        request = await self.store.ask(interaction.user.id, member.id, interaction.guild_id)
        with speaking(language_of(interaction.guild_locale)):
            text = gettext(
                "{asker} asks whether they may draw you with AI (server: {server}). If you agree, press **Lend my "
                "likeness**: you upload a few photos of yourself, and {asker} can draw you from them without seeing "
                "them. You can take it back at any time, see what was drawn with `/identity activity`, and delete it. "
                "If you do nothing, nothing happens, and the request ends in a week.",
                asker=interaction.user.mention,
                server=escaped(interaction.guild.name if interaction.guild else ""),
            )
            view = buttons(request)
        try:
            return await self._bring(interaction, member, text, view)
        except BaseException:
            await self.store.withdraw(request.id)
            raise

    async def _bring(
        self, interaction: discord.Interaction, member: discord.Member, text: str, view: discord.ui.View
    ) -> bool:
        nobody = discord.AllowedMentions.none()
        try:
            await member.send(text, view=view, allowed_mentions=nobody)
        except (discord.Forbidden, discord.NotFound):
            log.info("user %d takes no direct messages; asking in channel %s", member.id, interaction.channel_id)
        except (discord.HTTPException, *CONNECTION_ERRORS):
            raise UserError("Discord does not answer right now. Please try again in a minute.") from None
        else:
            return True
        channel = self._client.get_partial_messageable(interaction.channel_id or 0)
        mentioned = discord.AllowedMentions(everyone=False, roles=False, users=[member])
        try:
            await channel.send(f"{member.mention} {text}", view=view, allowed_mentions=mentioned)
        except (discord.HTTPException, *CONNECTION_ERRORS):
            raise UserError(
                "They take no direct messages from me, and I may not write in this channel. Ask them yourself."
            ) from None
        return False

    async def lend(self, request_id: int, member_id: int, info: IdentityInfo) -> RequestInfo:
        """Lend an identity as the answer, and tell whoever asked, where they take direct messages.

        Raises :class:`NotFoundError`.
        """
        request = await self.store.accept(request_id, member_id, info.id)
        told = gettext(
            "{member} has lent you their likeness: {name}. Draw it with `/imagine`. They see what you draw of it, and "
            "can take it back.",
            member=f"<@{member_id}>",
            name=shown(info.name),
        )
        try:
            asker = await self._client.fetch_user(request.asker_id)
            await asker.send(told, allowed_mentions=discord.AllowedMentions.none())
        except (discord.HTTPException, *CONNECTION_ERRORS):
            log.info("user %d could not be told that request %d was accepted", request.asker_id, request.id)
        return request
