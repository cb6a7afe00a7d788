"""/help: what the bot can do, by examples that can be clicked."""

from __future__ import annotations

from typing import Final

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot.domain.draw_request import DrawOptions, Limits
from bot.i18n.catalogue import gettext
from bot.services.drawing import DrawingService
from bot.services.identities import IdentityService
from bot.views.identity_forms import AddForm
from bot.views.persistent import PersistentView, without_listener
from photomaker_core.errors import UserError

_TEXT: Final = """\
**I draw people you know.** Add somebody once, then describe pictures of them.

**1. Add a person** with up to ten photos in which the face is well seen: `/identity add`, or the button below. \
Or choose Apps > **Save as identity** in the menu of a message with photos.
**2. Draw them.** Write the trigger word `img` after the word for the person:
`/imagine prompt: a man img in a red hat`
`/imagine prompt: a woman img at the beach, smiling style: Cinematic count: 4`
`/edit` does the same by choices, and `/reality` turns a painting or an old photo into a photograph.
**3. Blend people:** `/mix id1: newton id2: lenna balance: 70`
**4. Draw them together:** `/together id1: newton id2: lenna prompt: a man img and a woman img at the beach`

- The same `seed` with the same settings gives the same picture again.
- Up to {max_pictures} pictures at once and up to {max_steps} steps.
- Your identities are for you alone unless you share them with `/identity share`; nobody else sees the photos. \
`/identity delete` removes them from the database for good.
- The buttons under a picture draw it again, change, enlarge or vary it, or delete it.
- `/prompt` keeps prompts, `/settings` what you prefer, `/history` what you had drawn, `/queue` what is waiting.
- `/privacy export` hands you everything I have stored about you; `/privacy delete` removes it for good.
- Add only people who agree, yourself, or fictional people. Every picture is marked as made by an AI.
"""
_EXAMPLE: Final = "a person img in a red hat at the beach"
_PORTRAIT: Final = "a photo of a person img"


class HelpCommands(commands.Cog):
    """The command that explains the others."""

    def __init__(self, drawing: DrawingService, identities: IdentityService, limits: Limits) -> None:
        self._drawing, self._identities, self._limits = drawing, identities, limits

    @app_commands.command(description="How to use this bot, with examples")
    async def help(self, interaction: discord.Interaction) -> None:
        text = gettext(_TEXT, max_pictures=self._limits.max_pictures, max_steps=self._limits.max_steps)
        view = without_listener(HelpView(self._drawing, self._identities))
        await interaction.response.send_message(text, view=view, ephemeral=True)


class HelpView(PersistentView):
    """The examples as buttons."""

    doing = "a button of /help"

    def __init__(self, drawing: DrawingService, identities: IdentityService) -> None:
        super().__init__()
        self._drawing, self._identities = drawing, identities

    @ui.button(label="Add a person", style=discord.ButtonStyle.primary, custom_id="photomaker:help:add")
    async def add(self, interaction: discord.Interaction, _button: ui.Button[HelpView]) -> None:
        await AddForm(self._identities).open_for(interaction)

    @ui.button(label="Draw them in a red hat", custom_id="photomaker:help:draw")
    async def draw(self, interaction: discord.Interaction, _button: ui.Button[HelpView]) -> None:
        person = await self._drawing.person(interaction, None)
        await interaction.response.defer(thinking=True)
        await self._drawing.draw(interaction, DrawOptions(_EXAMPLE), [(person.id, 1.0)])

    @ui.button(label="Mix my last two people", custom_id="photomaker:help:mix")
    async def mix(self, interaction: discord.Interaction, _button: ui.Button[HelpView]) -> None:
        people = (await self._identities.store.newest_of(interaction.user.id, 2))[::-1]
        if len(people) < 2:
            raise UserError("A mix needs two people; add another one first.")
        await interaction.response.defer(thinking=True)
        await self._drawing.draw(interaction, DrawOptions(_PORTRAIT), [(person.id, 0.5) for person in people])
