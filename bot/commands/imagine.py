"""/imagine: draw one person."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.choosing import ASPECT_CHOICES, STYLE_CHOICES, chosen_identity, fresh_seed, suggest_identities
from bot.identities import IdentityDesk
from bot.jobs import JobDesk
from bot.requests import IdentityShare, Limits, checked_request


class ImagineCommands(commands.Cog):
    def __init__(self, identities: IdentityDesk, jobs: JobDesk, limits: Limits) -> None:
        self._identities, self._jobs, self._limits = identities, jobs, limits

    @app_commands.command(description="Draw a person of yours")
    @app_commands.describe(
        prompt="What to draw; write img after the word for the person, as in: a man img in a red hat",
        identity="Who it is; left out, the person you added last",
        style="A look for the whole picture",
        aspect="The shape of the picture",
        steps="More steps are slower and finer",
        guidance="How strictly to follow the prompt (0 to 20; usual 5)",
        seed="The same seed and settings give the same picture",
        count="How many pictures",
        negative="What should not be in the picture",
    )
    @app_commands.choices(style=STYLE_CHOICES, aspect=ASPECT_CHOICES)
    async def imagine(
        self,
        interaction: discord.Interaction,
        prompt: str,
        identity: str | None = None,
        style: str | None = None,
        aspect: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int | None = None,
        count: int = 1,
        negative: str | None = None,
    ) -> None:
        await interaction.response.defer()
        info = await chosen_identity(self._identities, interaction.user.id, identity)
        request = checked_request(
            prompt=prompt,
            identities=(IdentityShare(info.id, info.name),),
            limits=self._limits,
            fresh_seed=fresh_seed(),
            style=style,
            aspect=aspect,
            steps=steps,
            guidance=guidance,
            seed=seed,
            count=count,
            negative=negative,
        )
        await self._jobs.accept(interaction, request)

    @imagine.autocomplete("identity")
    async def _names(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await suggest_identities(self._identities, interaction, current)
