"""The options that several commands have: their descriptions, choices and autocompletion."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import discord
from discord import app_commands
from discord.ext import commands

from bot.domain.draw_request import QUALITIES
from bot.domain.lora_choice import LONGEST_CHOICE, suggested_loras
from bot.domain.several_people import LAYOUT_NAMES
from bot.i18n.catalogue import gettext
from bot.services.drawing import DrawingService
from photomaker_core.presets.aspect_ratios import ASPECTS
from photomaker_core.presets.styles import STYLES
from storage import IdentityStore, ServerStore, Wanted

F = TypeVar("F", bound=Callable[..., Any])

_MOST_CHOICES: Final = 25
_TEXTS: Final = {
    "identity": "Who it is; left out, your default or the person you added last",
    "style": "A look for the whole picture",
    "aspect": "The shape of the picture",
    "quality": "turbo (where there is one), fast, normal or best",
    "count": "How many pictures",
    "layout": "Where the first person stands, seen from the others; left out, the picture decides",
    "seed": "The same seed and settings give the same picture",
}
_PEOPLE: Final = ("identity", "id1", "id2", "id3", "id4")


def choices(names: Iterable[str]) -> list[app_commands.Choice[str]]:
    """Choices that are shown by the names that they stand for, as many as Discord takes."""
    return [app_commands.Choice(name=name, value=name) for name in islice(names, _MOST_CHOICES)]


_CHOICES: Final = {
    "style": choices(STYLES),
    "aspect": choices(ASPECTS),
    "quality": choices(QUALITIES),
    "layout": choices(LAYOUT_NAMES),
}


def matching(names: Iterable[str], typed: str) -> list[app_commands.Choice[str]]:
    """Autocompletion: the names that hold what was typed."""
    return choices(name for name in names if typed.casefold() in name.casefold())


class Suggestions:
    """Autocompletion of people and LoRAs."""

    def __init__(
        self, identities: IdentityStore, drawing: DrawingService, servers: ServerStore, loras: Sequence[str]
    ) -> None:
        self._identities, self._drawing = identities, drawing
        self._servers, self._loras = servers, loras

    async def own_people(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """The member's own identities whose names hold what was typed."""
        return choices(await self._identities.names(interaction.user.id, containing=typed))

    async def people(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Identities that the member may draw here and whose names hold what was typed, their own first."""
        own = await self.own_people(interaction, typed)
        shared = await self._identities.shared_with(interaction.user.id, interaction.guild_id, typed)
        others = [
            app_commands.Choice(name=gettext("{name} (shared)", name=info.name), value=_value_of(info.id))
            for info in await self._drawing.drawable(interaction, shared)
        ]
        return [*own, *others][:_MOST_CHOICES]

    async def loras(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """The style LoRAs that can be drawn with here, after those that have been typed already."""
        suggested = suggested_loras(typed, await self.allowed_loras(interaction))
        return choices(one for one in suggested if len(one) <= LONGEST_CHOICE)

    async def allowed_loras(self, interaction: discord.Interaction) -> list[str]:
        """The style LoRAs that the bot has loaded and the server allows."""
        if interaction.guild_id is None or not self._loras:
            return list(self._loras)
        forbidden = (await self._servers.rules(interaction.guild_id)).forbidden_loras
        return [name for name in self._loras if name not in forbidden]


class WithSuggestions:
    """A cog whose commands have options with autocompletion."""

    _suggestions: Suggestions

    async def _suggest_people(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await self._suggestions.people(interaction, current)

    async def _suggest_loras(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await self._suggestions.loras(interaction, current)


class DrawingCommands(WithSuggestions, commands.Cog):
    """A cog whose commands draw people."""

    def __init__(self, drawing: DrawingService, suggestions: Suggestions) -> None:
        self._drawing, self._suggestions = drawing, suggestions


def shared_options(command: F) -> F:
    """Describe those options of a command that other commands have too, and offer their choices and suggestions.

    It goes below ``app_commands.describe``, which can describe some of them differently. Options with suggestions need
    a cog that is a :class:`WithSuggestions`.
    """
    names = inspect.signature(command).parameters
    app_commands.describe(**{name: text for name, text in _TEXTS.items() if name in names})(command)
    app_commands.choices(**{name: one for name, one in _CHOICES.items() if name in names})(command)
    suggested: dict[str, Any] = {name: WithSuggestions._suggest_people for name in _PEOPLE if name in names}
    if "lora" in names:
        suggested["lora"] = WithSuggestions._suggest_loras
    return app_commands.autocomplete(**suggested)(command)


def person_in(value: str | None) -> Wanted:
    """The person that an option's value means: the number of a suggested identity, else a name."""
    numbered = None if value is None else _NUMBERED.fullmatch(value)
    return value if numbered is None else int(numbered[1])


_BEFORE_A_NUMBER: Final = "somebody else's identity, by its number: "
"""Longer than any name can be, so that no name is taken for a number."""
_NUMBERED: Final = re.compile(rf"{_BEFORE_A_NUMBER}(\d{{1,18}})", re.ASCII)


def _value_of(identity_id: int) -> str:
    return f"{_BEFORE_A_NUMBER}{identity_id}"
