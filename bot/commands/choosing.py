"""What the drawing commands share: finding identities by name, and choices for styles and aspects."""

from __future__ import annotations

import secrets
from typing import Final

import discord
from discord import app_commands

from bot.identities import IdentityDesk
from bot.requests import MAX_SEED
from photomaker_core.aspects import ASPECTS
from photomaker_core.styles import STYLES
from storage import IdentityInfo, NotFoundError

STYLE_CHOICES: Final = [app_commands.Choice(name=name, value=name) for name in STYLES]
ASPECT_CHOICES: Final = [app_commands.Choice(name=name, value=name) for name in ASPECTS]


def fresh_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


async def suggest_identities(
    identities: IdentityDesk, interaction: discord.Interaction, typed: str
) -> list[app_commands.Choice[str]]:
    """Autocompletion: the member's own identities whose names hold what was typed."""
    names = await identities.store.names(interaction.user.id, containing=typed)
    return [app_commands.Choice(name=name, value=name) for name in names]


async def chosen_identity(identities: IdentityDesk, owner_id: int, name: str | None) -> IdentityInfo:
    """The named identity, or the one added last where no name is given; raises :class:`NotFoundError`."""
    if name is not None:
        return await identities.store.find(owner_id, name)
    own = await identities.store.all_of(owner_id)
    if not own:
        raise NotFoundError(
            "You have no identity yet. Add one first: /identity add with a name and one to four photos."
        )
    return own[-1]
