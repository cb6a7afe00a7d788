"""/imagine: draw one person."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.cogs.options import DrawingCommands, person_in, shared_options
from bot.domain.draw_request import DrawOptions


class ImagineCommands(DrawingCommands):
    """The command that draws one person by a prompt."""

    @app_commands.command(description="Draw a person of yours")
    @app_commands.describe(
        prompt="What to draw; write img after the word for the person, as in: a man img in a red hat",
        negative="What should not be in the picture",
        steps="More steps are slower and finer",
        guidance="How strictly to follow the prompt (0 to 20; usual 5)",
        style_strength="Percent of the steps that see the text alone (usual 20); less is more like the person",
        lora="Style LoRAs that are loaded here, with weights: papercut:0.7 ink:0.4",
    )
    @shared_options
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
        options = DrawOptions(
            prompt,
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
        await self._drawing.draw(interaction, options, [(person_in(identity), 1.0)])
