"""/queue, /history and /settings: what is going on, what was, and what a member prefers."""

from __future__ import annotations

from typing import Final

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.options import shared_options
from bot.domain.draw_request import DrawRequest, Limits, RequestFormatError
from bot.domain.identity_names import shown
from bot.i18n.catalogue import gettext, ngettext
from bot.presentation import messages
from bot.presentation.errors import sentence_of
from bot.services.drawing import DrawingService
from bot.services.jobs import JobService
from bot.services.untold_ends import tell_untold_ends
from bot.views.history_page import HistoryPage
from photomaker_core.errors import UserError
from storage import JobStore, OpenJobStore, Preferences, PreferenceStore, QueuedJob, StorageError

_SHOWN_JOBS: Final = 10


class AccountCommands(commands.Cog):
    """Commands whose answers are seen by the asking member only."""

    def __init__(
        self,
        open_jobs: OpenJobStore,
        job_store: JobStore,
        jobs: JobService,
        preferences: PreferenceStore,
        drawing: DrawingService,
        limits: Limits,
    ) -> None:
        self._open_jobs, self._job_store, self._jobs = open_jobs, job_store, jobs
        self._preferences, self._drawing, self._limits = preferences, drawing, limits

    @app_commands.command(description="What is waiting, and how long it will take")
    async def queue(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        page = await self._open_jobs.page(interaction.user.id, _SHOWN_JOBS)
        lines = [messages.whole_queue(page.open_jobs, self._jobs.throughput.expected_s(self._jobs.steps_left))]
        drawn = {one.record.id: one.done for one in self._jobs.open_of(interaction.user.id) if one.is_running}
        lines += [_queued(one, drawn.get(one.id)) for one in page.first]
        if page.own_jobs > len(page.first):
            lines.append(messages.and_more(page.own_jobs - len(page.first)))
        await interaction.edit_original_response(content=messages.listing(lines))
        await tell_untold_ends(interaction, self._job_store)

    @app_commands.command(description="The pictures you had drawn, the newest first")
    async def history(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        page = await HistoryPage.read(self._job_store, interaction.user.id, 0)
        await interaction.followup.send(view=page, files=page.files, ephemeral=True)
        await tell_untold_ends(interaction, self._job_store)

    @app_commands.command(description="What is taken where you say nothing; without options, shows it")
    @app_commands.describe(style="The look", aspect="The shape", reset="Forget all of your preferences")
    @shared_options
    async def settings(
        self,
        interaction: discord.Interaction,
        style: str | None = None,
        aspect: str | None = None,
        quality: str | None = None,
        reset: bool = False,
    ) -> None:
        await interaction.response.defer(ephemeral=True)
        given = {"style": style, "aspect": aspect, "quality": quality}
        forgotten = {"identity_id": None, **dict.fromkeys(given)} if reset else {}
        changes = {**forgotten, **{name: value for name, value in given.items() if value is not None}}
        if changes:
            preferences = await self._preferences.change(interaction.user.id, **changes)
        else:
            preferences = await self._preferences.of(interaction.user.id)
        await interaction.edit_original_response(content=await self._shown(interaction, preferences))

    async def _shown(self, interaction: discord.Interaction, preferences: Preferences) -> str:
        person = gettext("the one you added last")
        if preferences.identity_id is not None:
            try:
                person = shown((await self._drawing.person(interaction, None)).name)
            except (UserError, StorageError) as error:
                person = sentence_of(error)
        defaults = await self._drawing.defaults(interaction)
        most = gettext(
            "Up to {pictures} pictures a job and {steps} steps. Choose the person with `/identity default`.",
            pictures=self._limits.max_pictures,
            steps=self._limits.max_steps,
        )
        lines = [
            gettext("Person: {person}", person=person),
            gettext("Style: {style}", style=gettext(defaults.style)),
            gettext("Aspect: {aspect}", aspect=gettext(defaults.aspect)),
            gettext("Quality: {quality}", quality=gettext(defaults.quality)),
            *(f"-# {note}" for note in defaults.notes.values()),
            f"-# {most}",
        ]
        return "\n".join(lines)


def _queued(job: QueuedJob, done: float | None) -> str:
    state = ngettext("{number} job before it", "{number} jobs before it", job.jobs_before)
    if done is not None:
        state = gettext("{share:.0%} drawn", share=done)
    try:
        return messages.own_job(DrawRequest.from_json(job.request), state)
    except RequestFormatError as error:
        return f"- {sentence_of(error)}"
