"""What the drawing commands share: whom to draw, the member's preferences, and the way to the job desk."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import discord
from discord import app_commands

from bot.domain.draw_request import MAX_SEED, QUALITIES, Limits, WeightedIdentity, checked_request
from bot.i18n.catalogue import gettext
from bot.services.identities import IdentityService
from bot.services.jobs import JobService
from photomaker_core.presets.aspect_ratios import ASPECTS
from photomaker_core.presets.styles import STYLES
from storage import IdentityInfo, NotFoundError, Preferences, Rules


def choices(names: Iterable[str]) -> list[app_commands.Choice[str]]:
    """Choices that are shown by the names that they stand for, as many as Discord takes."""
    return [app_commands.Choice(name=name, value=name) for name in islice(names, _MOST_CHOICES)]


_MOST_CHOICES: Final = 25
STYLE_CHOICES: Final = choices(STYLES)
ASPECT_CHOICES: Final = choices(ASPECTS)
QUALITY_CHOICES: Final = choices(QUALITIES)
WHO_TEXT: Final = "Who it is; left out, your default or the person you added last"
SEED_TEXT: Final = "The same seed and settings give the same picture"
COUNT_TEXT: Final = "How many pictures"
QUALITY_TEXT: Final = "turbo (where there is one), fast, normal or best"
STYLE_TEXT: Final = "A look for the whole picture"
ASPECT_TEXT: Final = "The shape of the picture"
_BY_NUMBER: Final = re.compile(r"shared:(\d+)")


def fresh_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


class DrawingService:
    """Turns what a member typed into an accepted job."""

    def __init__(self, identities: IdentityService, jobs: JobService, limits: Limits) -> None:
        self.identities, self.jobs, self.limits = identities, jobs, limits

    async def person(self, interaction: discord.Interaction, name: str | None) -> IdentityInfo:
        """The identity of that name, the member's own or one shared with them; without a name, their default or the
        one they added last. Raises :class:`NotFoundError`."""
        user_id, guild_id, store = interaction.user.id, interaction.guild_id, self.identities.store
        if name is not None:
            numbered = _BY_NUMBER.fullmatch(name)
            if numbered:
                return await store.accessible(user_id, guild_id, int(numbered[1]))
            return await store.find_accessible(user_id, guild_id, name)
        default = (await self.identities.preferences.of(user_id)).identity_id
        if default is not None:
            try:
                return await store.accessible(user_id, guild_id, default)
            except NotFoundError:
                raise NotFoundError(
                    "Your default person cannot be drawn here any more: it was deleted, or is not shared with you. "
                    "Name somebody, or choose another with /identity default."
                ) from None
        own = await store.all_of(user_id)
        if not own:
            raise NotFoundError("You have no identity yet. Add one first: /identity add with a name and some photos.")
        return own[-1]

    async def usual(self, interaction: discord.Interaction, preferences: Preferences) -> dict[str, str | None]:
        """Style, aspect and quality where a command names none: the member's ``preferences``, then the server's."""
        rules = await self.rules(interaction)
        return {name: getattr(preferences, name) or getattr(rules, name) for name in ("style", "aspect", "quality")}

    async def rules(self, interaction: discord.Interaction) -> Rules:
        """The rules of the server where the interaction happens; outside of servers there are none."""
        guild_id = interaction.guild_id
        return Rules() if guild_id is None else await self.jobs.gate.servers.rules(guild_id)

    async def draw(
        self,
        interaction: discord.Interaction,
        prompt: str,
        people: Sequence[tuple[IdentityInfo, float]],
        **settings: Any,
    ) -> None:
        """Have people drawn, each with a weight; ``settings`` are those of :func:`checked_request`, where ``None``
        stands for what is usual. The interaction must be deferred. Raises :class:`UserError`."""
        preferences = await self.identities.preferences.of(interaction.user.id)
        for name, value in (await self.usual(interaction, preferences)).items():
            if settings.get(name) is None:
                settings[name] = value
        request = checked_request(
            prompt=prompt,
            identities=tuple(WeightedIdentity(info.id, info.name, weight) for info, weight in people),
            limits=self.limits,
            fresh_seed=fresh_seed(),
            guild_id=interaction.guild_id,
            **settings,
        )
        await self.jobs.accept(interaction, request)

    async def suggest_people(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Autocompletion: identities that the member may draw here and whose names hold what was typed."""
        own = await suggest_own(self.identities, interaction, typed)
        shared = await self.identities.store.shared_with(interaction.user.id, interaction.guild_id, typed)
        others = [
            app_commands.Choice(name=gettext("{name} (shared)", name=info.name), value=f"shared:{info.id}")
            for info in shared
        ]
        return [*own, *others][:_MOST_CHOICES]

    async def suggest_loras(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Autocompletion: the style LoRAs that can be drawn with."""
        return matching(await self.allowed_loras(interaction), typed)

    async def allowed_loras(self, interaction: discord.Interaction) -> list[str]:
        """The style LoRAs that the bot has loaded and the server allows."""
        forbidden = (await self.rules(interaction)).forbidden_loras
        return [name for name in self.limits.loras if name not in forbidden]


def matching(names: Sequence[str], typed: str) -> list[app_commands.Choice[str]]:
    """Autocompletion: the names that hold what was typed."""
    return choices(name for name in names if typed.casefold() in name.casefold())


async def suggest_own(
    identities: IdentityService, interaction: discord.Interaction, typed: str
) -> list[app_commands.Choice[str]]:
    """Autocompletion: the member's own identities whose names hold what was typed."""
    return choices(await identities.store.names(interaction.user.id, containing=typed))
