"""The gate that every job passes: what a server's moderators and the operator allow. Called by the job desk."""

from __future__ import annotations

import re
from collections.abc import Sequence

import discord

from bot.domain.draw_request import DrawRequest
from photomaker_core.errors import UserError
from storage import Database, Rules, ServerStore


class NotAllowedError(UserError):
    """A rule of this server, or of the bot's operator, is in the way."""


class AdmissionPolicy:
    """Reads the rules of the server where somebody asks. ``is_draining`` lets nothing new in, on any server."""

    def __init__(self, database: Database) -> None:
        self.servers = ServerStore(database)
        self.is_draining = False

    async def check(self, interaction: discord.Interaction, request: DrawRequest, open_jobs: int) -> None:
        """Raise :class:`NotAllowedError` where the member, who has ``open_jobs``, may not draw this here and now."""
        if self.is_draining:
            raise NotAllowedError("I am about to be restarted and take no new jobs. Please try again in a few minutes.")
        if interaction.guild_id is None:
            return
        rules = await self.servers.rules(interaction.guild_id)
        if rules.is_paused:
            raise NotAllowedError("Drawing is paused on this server. Its moderators can resume it.")
        if rules.channels and not _is_in(interaction, rules.channels):
            allowed = ", ".join(f"<#{channel}>" for channel in rules.channels)
            raise NotAllowedError("Drawing is allowed in {channels} only.", channels=allowed)
        roles = interaction.user.roles if isinstance(interaction.user, discord.Member) else []
        most = rules.most_open_jobs(role.id for role in roles)
        if most is not None and open_jobs >= most:
            raise NotAllowedError(
                "Open jobs of yours: {number}, which is the most on this server. Wait for one to finish, or cancel it.",
                number=open_jobs,
            )
        if request.lora in rules.forbidden_loras:
            raise NotAllowedError("The LoRA “{name}” is not allowed on this server.", name=request.lora)
        word = blocked_word(rules, (request.prompt, request.negative or ""))
        if word is not None:
            raise NotAllowedError("“{word}” is not allowed in prompts on this server.", word=word)


def blocked_word(rules: Rules, texts: Sequence[str]) -> str | None:
    """The first of the blocked words that occurs as a whole word, in any case, in any of ``texts``."""
    for word in rules.blocked_words:
        pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
        if any(pattern.search(text) for text in texts):
            return word
    return None


def _is_in(interaction: discord.Interaction, channels: Sequence[int]) -> bool:
    """Whether the interaction happens in one of the channels, or in a thread of one."""
    parent = getattr(interaction.channel, "parent_id", None)
    return interaction.channel_id in channels or parent in channels
