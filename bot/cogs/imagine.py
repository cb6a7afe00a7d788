"""/imagine: draw one person."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.services.drawing import (
    ASPECT_CHOICES,
    ASPECT_TEXT,
    COUNT_TEXT,
    QUALITY_CHOICES,
    QUALITY_TEXT,
    SEED_TEXT,
    STYLE_CHOICES,
    STYLE_TEXT,
    WHO_TEXT,
    DrawingService,
)


class ImagineCommands(commands.Cog):
    def __init__(self, drawing: DrawingService) -> None:
        self._drawing = drawing

    @app_commands.command(description="Draw a person of yours")
    @app_commands.describe(
        prompt="What to draw; write img after the word for the person, as in: a man img in a red hat",
        identity=WHO_TEXT,
        style=STYLE_TEXT,
        aspect=ASPECT_TEXT,
        quality=QUALITY_TEXT,
        count=COUNT_TEXT,
        negative="What should not be in the picture",
        seed=SEED_TEXT,
        steps="More steps are slower and finer",
        guidance="How strictly to follow the prompt (0 to 20; usual 5)",
        style_strength="Percent of the steps that see the text alone (usual 20); less is more like the person",
        lora="A style LoRA that the bot's operator has loaded",
    )
    @app_commands.choices(style=STYLE_CHOICES, aspect=ASPECT_CHOICES, quality=QUALITY_CHOICES)
    async def imagine(
        self,
        interaction: discord.Interaction,
        prompt: str,
        identity: str | None = None,
        style: str | None = None,
        aspect: str | None = None,
        quality: str | None = None,
        count: int = 1,
        negative: str | None = None,
        seed: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        style_strength: float | None = None,
        lora: str | None = None,
    ) -> None:
        await interaction.response.defer()
        person = await self._drawing.person(interaction, identity)
        await self._drawing.draw(
            interaction,
            prompt,
            [(person, 1.0)],
            style=style,
            aspect=aspect,
            quality=quality,
            count=count,
            negative=negative,
            seed=seed,
            steps=steps,
            guidance=guidance,
            style_strength=style_strength,
            lora=lora,
        )

    @imagine.autocomplete("identity")
    async def _people(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await self._drawing.suggest_people(interaction, current)

    @imagine.autocomplete("lora")
    async def _loras(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await self._drawing.suggest_loras(interaction, current)
