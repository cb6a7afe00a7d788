"""/together: draw two or three people in one picture."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.cogs.options import DrawingCommands, person_in, shared_options
from bot.domain.draw_request import DrawOptions
from bot.domain.several_people import AUTOMATIC_LAYOUT


class TogetherCommands(DrawingCommands):
    """The command that draws several people, each as themselves."""

    @app_commands.command(description="Draw two or three people in one picture")
    @app_commands.describe(
        id1="The first person",
        id2="The second person",
        prompt="What to draw; img after the word for each, in their order: a man img and a woman img",
        id3="A third person",
        negative="What should not be in the picture",
        steps="More steps are slower and finer",
        guidance="How strictly to follow the prompt (0 to 20; usual 5)",
        style_strength="Percent of the steps that see the text alone (usual 20); less is more like the people",
        lora="Style LoRAs that are loaded here, with weights: papercut:0.7 ink:0.4",
    )
    @shared_options
    async def together(
        self,
        interaction: discord.Interaction,
        id1: str,
        id2: str,
        prompt: str,
        id3: str | None = None,
        layout: str | None = None,
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
            layout=layout or AUTOMATIC_LAYOUT,
        )
        people = [(person_in(name), 1.0) for name in (id1, id2, id3) if name is not None]
        await self._drawing.draw(interaction, options, people)
