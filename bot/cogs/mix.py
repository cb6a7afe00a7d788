"""/mix: draw a blend of two to four people."""

from __future__ import annotations

import math

import discord
from discord import app_commands

from bot.cogs.options import DrawingCommands, person_in, shared_options
from bot.domain.draw_request import DrawOptions
from photomaker_core.errors import SettingsError


class MixCommands(DrawingCommands):
    """The command that blends people."""

    @app_commands.command(description="Draw a blend of two to four people")
    @app_commands.describe(
        id1="The first person",
        id2="The second person",
        prompt="What to draw; left out, a portrait",
        balance="The first person's share of two in percent; 50 is half and half",
        id3="A third person",
        id4="A fourth person",
        weights="Instead of balance: the people's shares in order, for example 50 30 20",
    )
    @shared_options
    async def mix(
        self,
        interaction: discord.Interaction,
        id1: str,
        id2: str,
        prompt: str = "a photo of a person img",
        balance: int | None = None,
        id3: str | None = None,
        id4: str | None = None,
        weights: str | None = None,
        style: str | None = None,
        aspect: str | None = None,
        quality: str | None = None,
        count: int = 1,
        seed: int | None = None,
    ) -> None:
        await interaction.response.defer()
        people = [person_in(name) for name in (id1, id2, id3, id4) if name is not None]
        shares = shares_of(len(people), balance, weights)
        options = DrawOptions(prompt, style=style, aspect=aspect, quality=quality, count=count, seed=seed)
        await self._drawing.draw(interaction, options, list(zip(people, shares, strict=True)))


def shares_of(people: int, balance: int | None, weights: str | None) -> list[float]:
    """Each person's share, in 0..1 and 1 in all; raises :class:`SettingsError` for what does not make sense."""
    if weights is not None:
        return _from_weights(people, weights)
    if balance is None:
        return [1 / people] * people
    if people > 2:
        raise SettingsError("The balance is between two people. For more, use weights, for example: 50 30 20")
    if not 0 <= balance <= 100:
        raise SettingsError("The balance must be between 0 and 100 percent; {value} is not.", value=balance)
    return [balance / 100, 1 - balance / 100]


def _from_weights(people: int, weights: str) -> list[float]:
    try:
        numbers = [float(one.rstrip("%")) for one in weights.replace(",", " ").split()]
    except ValueError:
        raise SettingsError("Weights are numbers, for example 50 30 20; “{text}” is not.", text=weights) from None
    if len(numbers) != people:
        raise SettingsError(
            "There are {people} people and {weights} weights; give one weight for each.",
            people=people,
            weights=len(numbers),
        )
    total = sum(numbers)
    if not all(one >= 0 for one in numbers) or not 0 < total < math.inf:
        raise SettingsError("Weights are 0 or more, and not all of them 0.")
    return [one / total for one in numbers]
