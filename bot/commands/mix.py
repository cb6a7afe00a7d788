"""/mix: draw a blend of two people."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.choosing import fresh_seed, suggest_identities
from bot.identities import IdentityDesk
from bot.jobs import JobDesk
from bot.requests import IdentityShare, Limits, checked_request
from photomaker_core.errors import SettingsError


class MixCommands(commands.Cog):
    def __init__(self, identities: IdentityDesk, jobs: JobDesk, limits: Limits) -> None:
        self._identities, self._jobs, self._limits = identities, jobs, limits

    @app_commands.command(description="Draw a blend of two of your people")
    @app_commands.describe(
        id1="The first person",
        id2="The second person",
        prompt="What to draw; left out, a portrait",
        balance="The first person's share in percent; 50 is half and half",
    )
    async def mix(
        self,
        interaction: discord.Interaction,
        id1: str,
        id2: str,
        prompt: str = "a photo of a person img",
        balance: int = 50,
    ) -> None:
        await interaction.response.defer()
        if not 0 <= balance <= 100:
            raise SettingsError(f"The balance must be between 0 and 100 percent; {balance} is not.")
        first = await self._identities.store.find(interaction.user.id, id1)
        second = await self._identities.store.find(interaction.user.id, id2)
        if first.id == second.id:
            raise SettingsError("A mix needs two different people. To draw one person, use /imagine.")
        request = checked_request(
            prompt=prompt,
            identities=(
                IdentityShare(first.id, first.name, balance / 100),
                IdentityShare(second.id, second.name, 1 - balance / 100),
            ),
            limits=self._limits,
            fresh_seed=fresh_seed(),
        )
        await self._jobs.accept(interaction, request)

    @mix.autocomplete("id1")
    @mix.autocomplete("id2")
    async def _names(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await suggest_identities(self._identities, interaction, current)
