"""/prompt: a member's own library of prompts."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.options import Suggestions, WithSuggestions, choices, person_in, shared_options
from bot.domain.draw_request import DrawOptions
from bot.domain.identity_names import shown
from bot.domain.member_text import quoted
from bot.domain.several_people import AUTOMATIC_LAYOUT
from bot.i18n.catalogue import gettext
from bot.presentation.messages import listing
from bot.services.drawing import DrawingService
from bot.services.prompt_library import keep_prompt
from storage import PromptStore

_SHOWN_CHARACTERS = 150


class PromptCommands(
    WithSuggestions, commands.GroupCog, group_name="prompt", group_description="Prompts that you keep"
):
    """A member's prompts: kept, listed, drawn and deleted."""

    def __init__(self, prompts: PromptStore, drawing: DrawingService, suggestions: Suggestions) -> None:
        super().__init__()
        self._prompts, self._drawing, self._suggestions = prompts, drawing, suggestions

    @app_commands.command(description="Keep a prompt under a name")
    @app_commands.describe(name="What to call it", prompt="The prompt, as for /imagine")
    async def save(self, interaction: discord.Interaction, name: str, prompt: str) -> None:
        await interaction.response.defer(ephemeral=True)
        await interaction.edit_original_response(
            content=await keep_prompt(self._prompts, interaction.user.id, name, prompt)
        )

    @app_commands.command(name="list", description="List the prompts you keep")
    async def list_(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        own = await self._prompts.all_of(interaction.user.id)
        if not own:
            await interaction.edit_original_response(
                content=gettext("You keep no prompt yet. Keep one with `/prompt save`.")
            )
            return
        lines = [f"- {shown(one.name)}: “{quoted(one.prompt, _SHOWN_CHARACTERS)}”" for one in own]
        await interaction.edit_original_response(content=listing(lines))

    @app_commands.command(description="Draw a prompt that you keep")
    @app_commands.describe(
        name="Which prompt",
        id2="A second person in the picture, for a prompt that names several",
        id3="A third person",
    )
    @shared_options
    async def use(
        self,
        interaction: discord.Interaction,
        name: str,
        identity: str | None = None,
        count: int = 1,
        id2: str | None = None,
        id3: str | None = None,
        layout: str | None = None,
    ) -> None:
        await interaction.response.defer()
        kept = await self._prompts.find(interaction.user.id, name)
        others = [person_in(one) for one in (id2, id3) if one is not None]
        options = DrawOptions(kept.prompt, count=count, layout=layout or (AUTOMATIC_LAYOUT if others else None))
        await self._drawing.draw(interaction, options, [(one, 1.0) for one in (person_in(identity), *others)])

    @app_commands.command(description="Delete a prompt that you keep")
    @app_commands.describe(name="Which prompt")
    async def delete(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        deleted = await self._prompts.delete(interaction.user.id, name)
        await interaction.edit_original_response(
            content=gettext("Deleted the prompt {name}.", name=shown(deleted.name))
        )

    @use.autocomplete("name")
    @delete.autocomplete("name")
    async def _names(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        found = await self._prompts.all_of(interaction.user.id, current, limit=25)
        return choices(one.name for one in found)
