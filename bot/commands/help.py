"""/help: what the bot can do, by examples."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.requests import Limits

_TEXT = """\
**I draw people you know.** Add somebody once, then describe pictures of them.

**1. Add a person** with one to four photos in which the face is well seen:
`/identity add name: newton consent: … photo1: …`
**2. Draw them.** Write the trigger word `img` after the word for the person:
`/imagine prompt: a man img in a red hat`
`/imagine prompt: a woman img at the beach, smiling style: Cinematic count: 4`
**3. Blend two people:**
`/mix id1: newton id2: lenna balance: 70`

- The same `seed` with the same settings gives the same picture again.
- Up to {max_pictures} pictures at once and up to {max_steps} steps.
- `/identity list`, `show`, `rename` and `delete` are for you alone: nobody else sees or uses your photos. \
`delete` removes them from the database for good.
- The buttons under a picture draw it **again** with another seed, **change** its prompt, or **delete** it.
- `/privacy export` hands you everything I have stored about you; `/privacy delete` removes it for good.
- Add only people who agree, yourself, or fictional people. Every picture is marked as made by an AI.
"""


class HelpCommands(commands.Cog):
    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    @app_commands.command(description="How to use this bot, with examples")
    async def help(self, interaction: discord.Interaction) -> None:
        text = _TEXT.format(max_pictures=self._limits.max_pictures, max_steps=self._limits.max_steps)
        await interaction.response.send_message(text, ephemeral=True)
