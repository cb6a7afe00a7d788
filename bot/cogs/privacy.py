"""/privacy: hand over or remove everything that is stored about the member."""

from __future__ import annotations

import asyncio
import io
from typing import Final

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot.domain.identity_names import shown
from bot.domain.member_text import quoted
from bot.i18n.catalogue import gettext, ngettext
from bot.presentation.data_export import packed, summary
from bot.presentation.messages import listing
from bot.presentation.removals import with_traces
from bot.services.jobs import JobService
from bot.views.persistent import PersistentView, without_listener
from photomaker_core.errors import UserError
from storage import ConsentInfo, IdentityRequestStore, Overview, PrivacyStore, RetentionPeriods

_SHOWN_CHARACTERS: Final = 200
_NOTHING: Final = "I have nothing stored about you."


class PrivacyCommands(commands.GroupCog, group_name="privacy", group_description="What I have stored about you"):
    """Commands whose answers are seen by the member only."""

    def __init__(
        self, store: PrivacyStore, jobs: JobService, requests: IdentityRequestStore, periods: RetentionPeriods
    ) -> None:
        super().__init__()
        self._store, self._jobs, self._requests, self._periods = store, jobs, requests, periods

    @app_commands.command(description="What I have stored about you, and what you consented to when")
    async def show(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        stored = await self._store.overview(interaction.user.id)
        first = gettext(_NOTHING)
        if not stored.is_empty:
            first = gettext("Stored about you: {what}.", what=summary(stored))
        lines = [first, _kept_for(self._periods)]
        lines += [_consent(one) for one in await self._store.consents(interaction.user.id)]
        await interaction.edit_original_response(content=listing(lines))

    @app_commands.command(name="opt-out", description="Let nobody ask to draw you, or save a person from your messages")
    @app_commands.describe(off="Let them again")
    async def opt_out(self, interaction: discord.Interaction, off: bool = False) -> None:
        await interaction.response.defer(ephemeral=True)
        if off:
            await self._requests.opt_in(interaction.user.id)
            told = gettext("Others can ask you again, and save pictures of your messages as a person.")
        else:
            await self._requests.opt_out(interaction.user.id)
            told = gettext(
                "Nobody can ask you any more, or save pictures of your messages as a person. What you have lent "
                "stays lent: `/identity unshare` takes it back."
            )
        await interaction.edit_original_response(content=told)

    @app_commands.command(description="Get everything I have stored about you as a file")
    async def export(self, interaction: discord.Interaction) -> None:
        stored = await self._overview(interaction)
        if stored is None:
            return
        archive = await asyncio.to_thread(packed, await self._store.everything(interaction.user.id))
        if len(archive) > interaction.filesize_limit:
            raise UserError(
                "Your data are {size:.0f} MiB, more than I may upload here. "
                "Ask the bot's operator for them, or delete some identities first.",
                size=len(archive) / 2**20,
            )
        await interaction.edit_original_response(
            content=gettext("Everything I have stored about you: {what}.", what=summary(stored)),
            attachments=[discord.File(io.BytesIO(archive), "my-data.zip")],
        )

    @app_commands.command(description="Delete everything I have stored about you, for good")
    async def delete(self, interaction: discord.Interaction) -> None:
        stored = await self._overview(interaction)
        if stored is None:
            return
        await interaction.edit_original_response(
            content=gettext(
                "This deletes for good: {what}. Pictures that were posted stay where they are.", what=summary(stored)
            ),
            view=without_listener(ConfirmView(self._store, self._jobs)),
        )

    async def _overview(self, interaction: discord.Interaction) -> Overview | None:
        """Numbers of what is stored about the member; ``None``, and said so, where that is nothing."""
        await interaction.response.defer(ephemeral=True)
        stored = await self._store.overview(interaction.user.id)
        if not stored.is_empty:
            return stored
        await interaction.edit_original_response(content=gettext(_NOTHING))
        return None


class ConfirmView(PersistentView):
    """Deletes the clicking member's data."""

    doing = "/privacy delete"

    def __init__(self, store: PrivacyStore, jobs: JobService) -> None:
        super().__init__()
        self._store, self._jobs = store, jobs

    @ui.button(label="Delete everything", style=discord.ButtonStyle.danger, custom_id="photomaker:forget")
    async def delete(self, interaction: discord.Interaction, _button: ui.Button[ConfirmView]) -> None:
        await interaction.response.defer()
        await self._jobs.cancel_all_of(interaction.user.id)
        is_final = await self._store.forget(interaction.user.id)
        content = with_traces(gettext("Everything I had stored about you is deleted."), is_final)
        await interaction.edit_original_response(content=content, view=None)

    @ui.button(label="Keep it", style=discord.ButtonStyle.secondary, custom_id="photomaker:remember")
    async def keep(self, interaction: discord.Interaction, _button: ui.Button[ConfirmView]) -> None:
        await interaction.response.edit_message(content=gettext("Nothing was deleted."), view=None)


def _kept_for(periods: RetentionPeriods) -> str:
    return gettext(
        "After a job has ended I keep its prompt and settings {prompts}, small pictures {thumbnails}, full pictures "
        "(where I keep any) {pictures}, and that there was a job {jobs}; then I erase them by myself. The rest stays "
        "until you delete it.",
        prompts=_span(periods.prompts),
        thumbnails=_span(periods.thumbnails),
        pictures=_span(periods.pictures),
        jobs=_span(periods.jobs),
    )


def _span(days: int | None) -> str:
    return gettext("until you delete it") if days is None else ngettext("{number} day", "{number} days", days)


def _consent(one: ConsentInfo) -> str:
    return gettext(
        "- {name}, {day}: “{sentence}” (version {version})",
        name=shown(one.identity_name),
        day=discord.utils.format_dt(one.given_at, "d"),
        sentence=quoted(one.sentence or gettext(one.declaration), _SHOWN_CHARACTERS),
        version=one.version or 0,
    )
