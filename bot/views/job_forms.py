"""The forms behind the buttons under a picture: change it, keep its prompt, report it."""

from __future__ import annotations

from dataclasses import dataclass

import discord
from discord import ui

from bot.domain.draw_request import MAX_PROMPT_CHARACTERS, DrawRequest
from bot.i18n.catalogue import gettext
from bot.presentation.errors import say
from bot.services.drawing import DrawingService
from bot.services.jobs import JobService
from bot.services.picture_check import PictureCheck
from bot.services.prompt_library import keep_prompt
from bot.services.reports import Reports
from bot.views.persistent import PersistentForm
from photomaker_core.errors import SettingsError
from storage import JobRecord, JobStore, PrivacyStore, PromptStore


@dataclass(frozen=True, slots=True)
class JobServices:
    """Everything that the buttons under a picture work with."""

    drawing: DrawingService
    jobs: JobService
    job_store: JobStore
    privacy: PrivacyStore
    prompts: PromptStore
    reports: Reports
    check: PictureCheck


class ChangeForm(PersistentForm):
    """A form with what was asked: what the member changes becomes a new job, all else stays as it was."""

    def __init__(self, drawing: DrawingService, request: DrawRequest) -> None:
        super().__init__(title=gettext("Draw it differently"))
        self._drawing, self._request = drawing, request
        self.prompt: ui.TextInput[ChangeForm] = ui.TextInput(
            custom_id="prompt",
            style=discord.TextStyle.paragraph,
            default=request.prompt[:MAX_PROMPT_CHARACTERS],
            max_length=MAX_PROMPT_CHARACTERS,
        )
        self.negative: ui.TextInput[ChangeForm] = ui.TextInput(
            custom_id="negative",
            default=(request.negative or "")[:MAX_PROMPT_CHARACTERS] or None,
            required=False,
            max_length=MAX_PROMPT_CHARACTERS,
        )
        self.seed: ui.TextInput[ChangeForm] = ui.TextInput(
            custom_id="seed", default=str(request.seed), required=False, max_length=20
        )
        for text, description, field in (
            (gettext("Prompt"), None, self.prompt),
            (gettext("What should not be in the picture"), None, self.negative),
            (gettext("Seed"), gettext("The same seed keeps the composition; empty it for a new one"), self.seed),
        ):
            self.add_item(ui.Label(text=text, description=description, component=field))

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        seed = _whole_number(self.seed.value)
        changed = self._drawing.changed(
            self._request, prompt=self.prompt.value, negative=self.negative.value, seed=seed
        )
        await interaction.response.defer(thinking=True)
        await self._drawing.draw_again(interaction, changed)


class KeepForm(PersistentForm):
    """A form with a name for a prompt."""

    def __init__(self, prompts: PromptStore, prompt: str) -> None:
        super().__init__(title=gettext("Keep this prompt"))
        self._prompts = prompts
        self.name: ui.TextInput[KeepForm] = ui.TextInput(custom_id="name", max_length=32)
        self.prompt: ui.TextInput[KeepForm] = ui.TextInput(
            custom_id="prompt",
            style=discord.TextStyle.paragraph,
            default=prompt[:MAX_PROMPT_CHARACTERS],
            max_length=MAX_PROMPT_CHARACTERS,
        )
        self.add_item(ui.Label(text=gettext("Name"), component=self.name))
        self.add_item(ui.Label(text=gettext("Prompt"), component=self.prompt))

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        told = await keep_prompt(self._prompts, interaction.user.id, self.name.value, self.prompt.value)
        await say(interaction, told)


class ReportForm(PersistentForm):
    """A form with what is wrong with a picture."""

    def __init__(self, reports: Reports, record: JobRecord) -> None:
        super().__init__(title=gettext("Report this picture"))
        self._reports, self._record = reports, record
        self.reason: ui.TextInput[ReportForm] = ui.TextInput(
            custom_id="reason", style=discord.TextStyle.paragraph, max_length=500
        )
        self.add_item(
            ui.Label(
                text=gettext("What is wrong with it?"),
                description=gettext("The moderators will read it"),
                component=self.reason,
            )
        )

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        told = await self._reports.report(interaction, self._record, self.reason.value)
        await interaction.followup.send(told, ephemeral=True)


def _whole_number(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError("A seed is a whole number; “{text}” is not.", text=text) from None
