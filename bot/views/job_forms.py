"""The forms behind the buttons under a picture: change it, keep its prompt, report it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import discord
from discord import ui

from bot.domain.draw_request import MAX_PROMPT_CHARACTERS, DrawRequest, Limits, checked_request
from bot.i18n.catalogue import gettext
from bot.presentation.errors import say
from bot.services.drawing import fresh_seed
from bot.services.jobs import JobService
from bot.services.prompt_library import keep_prompt
from bot.services.reports import Reports
from bot.views.persistent import PersistentForm
from photomaker_core.errors import SettingsError
from storage import JobRecord, PromptStore


@dataclass(frozen=True, slots=True)
class JobServices:
    """What the buttons work with. ``jobs`` is asked at each click: it does not exist before the bot runs."""

    jobs: Callable[[], JobService]
    prompts: PromptStore
    reports: Reports
    limits: Limits


class ChangeForm(PersistentForm):
    """What the member changes becomes a new job; all else stays as it was."""

    def __init__(self, services: JobServices, request: DrawRequest) -> None:
        super().__init__(title=gettext("Draw it differently"))
        self._services, self._request = services, request
        self.prompt: ui.TextInput[ChangeForm] = ui.TextInput(
            custom_id="prompt",
            style=discord.TextStyle.paragraph,
            default=request.prompt,
            max_length=MAX_PROMPT_CHARACTERS,
        )
        self.negative: ui.TextInput[ChangeForm] = ui.TextInput(
            custom_id="negative", default=request.negative, required=False, max_length=MAX_PROMPT_CHARACTERS
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
        old, limits = self._request, self._services.limits
        checked = checked_request(
            prompt=self.prompt.value,
            identities=old.identities,
            limits=limits,
            fresh_seed=fresh_seed(),
            style=old.style,
            aspect=old.aspect,
            steps=min(old.steps, limits.max_steps),
            guidance=old.guidance,
            seed=_whole_number(self.seed.value),
            count=min(old.count, limits.max_pictures),
            negative=self.negative.value,
            guild_id=interaction.guild_id,
            quality=old.quality,
            style_strength=old.style_strength,
            lora=old.lora,
        )
        await interaction.response.defer(thinking=True)
        await self._services.jobs().accept(interaction, checked)


class KeepForm(PersistentForm):
    def __init__(self, prompts: PromptStore, prompt: str) -> None:
        super().__init__(title=gettext("Keep this prompt"))
        self._prompts = prompts
        self.name: ui.TextInput[KeepForm] = ui.TextInput(custom_id="name", max_length=32)
        self.prompt: ui.TextInput[KeepForm] = ui.TextInput(
            custom_id="prompt",
            style=discord.TextStyle.paragraph,
            default=prompt,
            max_length=MAX_PROMPT_CHARACTERS,
        )
        self.add_item(ui.Label(text=gettext("Name"), component=self.name))
        self.add_item(ui.Label(text=gettext("Prompt"), component=self.prompt))

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        told = await keep_prompt(self._prompts, interaction.user.id, self.name.value, self.prompt.value)
        await say(interaction, told)


class ReportForm(PersistentForm):
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
