"""The way from what a member asks to an accepted job. Called by the drawing commands and by the buttons."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

import discord

from bot.domain.draw_request import MAX_SEED, DrawOptions, DrawRequest, Limits, WeightedIdentity, checked_request
from bot.domain.lora_choice import lora_text
from bot.domain.minor_protection import check_minors
from bot.domain.places import with_seed
from bot.domain.stored_settings import Defaults, usable_defaults, usable_request
from bot.i18n.catalogue import gettext
from bot.services.admission import AdmissionPolicy
from bot.services.draw_contexts import DrawContext, DrawContextService
from bot.services.jobs import JobService
from photomaker_core.errors import SettingsError
from storage import IdentityInfo, UsableIdentity, Wanted


def _owners_sight(people: Sequence[UsableIdentity]) -> list[str]:
    """What a member has to know who draws other members' people."""
    if all(one.access == "own" for one in people):
        return []
    return [gettext("Whoever lent a person in this picture can see and delete it.")]


def fresh_seed() -> int:
    """A seed at random."""
    return secrets.randbelow(MAX_SEED + 1)


class DrawingService:
    """Loads the context of a drawing, checks its request and hands it on as a job."""

    def __init__(
        self, contexts: DrawContextService, admission: AdmissionPolicy, jobs: JobService, limits: Limits
    ) -> None:
        self._contexts, self._admission, self._jobs, self._limits = contexts, admission, jobs, limits

    async def person(self, interaction: discord.Interaction, wanted: Wanted) -> UsableIdentity:
        """An identity that the member may draw here, by name or number; ``None`` is their default or the one they
        added last. Raises :class:`NotFoundError`."""
        context = await self._contexts.load(interaction, [wanted])
        return context.people[0]

    async def drawable(self, interaction: discord.Interaction, people: Sequence[IdentityInfo]) -> list[IdentityInfo]:
        """Those of some people that the member may draw here, by today's facts."""
        return await self._contexts.drawable(interaction.user.id, interaction.guild_id, people)

    async def defaults(self, interaction: discord.Interaction) -> Defaults:
        """The style, aspect and quality that are taken where the member says nothing here."""
        context = await self._contexts.load(interaction)
        return usable_defaults(context.preferences, context.rules, self._limits)

    async def draw(
        self, interaction: discord.Interaction, options: DrawOptions, people: Sequence[tuple[Wanted, float]]
    ) -> None:
        """Have people drawn, each with their weight. The interaction must be deferred. Raises :class:`UserError`.

        With a layout in ``options`` they stand in one picture, without one they are blended.
        """
        context = await self._contexts.load(interaction, [wanted for wanted, _ in people])
        if len({one.id for one in context.people}) < len(people):
            if options.layout is not None:
                raise SettingsError("Everybody can be in the picture once. To draw one person, use /imagine.")
            raise SettingsError("A mix needs different people. To draw one person, use /imagine.")
        defaults = usable_defaults(context.preferences, context.rules, self._limits)
        request = checked_request(
            replace(
                options,
                style=options.style or defaults.style,
                aspect=options.aspect or defaults.aspect,
                quality=options.quality or defaults.quality,
            ),
            tuple(
                WeightedIdentity(one.id, one.name, weight)
                for one, (_, weight) in zip(context.people, people, strict=True)
            ),
            self._limits,
            seed=fresh_seed(),
            guild_id=context.guild_id,
            notes=tuple(note for option, note in defaults.notes.items() if getattr(options, option) is None),
        )
        await self._accept(interaction, context, request)

    def changed(self, stored: DrawRequest, *, prompt: str, negative: str, seed: int | None) -> DrawRequest:
        """An earlier request with another prompt, negative prompt and seed, checked as a new one is.

        Raises :class:`PromptError` or :class:`SettingsError`.
        """
        check_minors(prompt, negative)
        old = usable_request(stored, self._limits)
        options = DrawOptions(
            prompt,
            style=old.style,
            aspect=old.aspect,
            quality=old.quality,
            count=old.count,
            negative=negative,
            seed=seed,
            steps=old.steps,
            guidance=old.guidance,
            style_strength=old.style_strength,
            lora=lora_text(old.loras),
            layout=old.layout,
        )
        request = checked_request(
            options, old.identities, self._limits, seed=fresh_seed(), guild_id=old.guild_id, notes=old.notes
        )
        places = replace(request, seed=old.seed, exchange=old.exchange, kept_regions=old.kept_regions)
        return with_seed(places, request.seed)

    async def draw_again(
        self, interaction: discord.Interaction, stored: DrawRequest, source: bytes | None = None
    ) -> None:
        """Have an earlier request, or a variation of it, drawn under what holds now; ``source`` is what it starts from.

        The interaction must be deferred. Raises :class:`UserError`.
        """
        people = [share.identity_id for share in stored.identities]
        context = await self._contexts.load(interaction, people, asked_in=stored.guild_id)
        request = usable_request(stored, self._limits)
        identities = tuple(
            replace(share, name=one.name) for share, one in zip(stored.identities, context.people, strict=True)
        )
        request = replace(request, identities=identities, guild_id=context.guild_id)
        await self._accept(interaction, context, request, source)

    async def _accept(
        self,
        interaction: discord.Interaction,
        context: DrawContext,
        request: DrawRequest,
        source: bytes | None = None,
    ) -> None:
        limits = self._admission.check(context, request)
        request = replace(request, notes=(*request.notes, *_owners_sight(context.people)))
        await self._jobs.accept(interaction, request, source, limits)
