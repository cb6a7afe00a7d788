"""/queue, /history, /settings and /style: what is going on, what was, and what a member prefers."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot.domain.draw_request import DEFAULT_QUALITY, DrawRequest
from bot.domain.identity_names import shown
from bot.i18n.catalogue import answer_in_language_of, gettext, ngettext, spoken
from bot.presentation import messages
from bot.presentation.errors import say, sentence_for
from bot.services.drawing import ASPECT_CHOICES, QUALITY_CHOICES, QUALITY_TEXT, STYLE_CHOICES, DrawingService
from bot.services.open_jobs import JobView
from bot.services.style_samples import StyleSamples
from bot.views.persistent import without_listener
from photomaker_core.presets.aspect_ratios import DEFAULT_ASPECT
from photomaker_core.presets.styles import STYLES
from storage import NotFoundError, PastJob, Preferences

_PAGE: Final = 4
_SHOWN_PROMPT: Final = 200


class AccountCommands(commands.Cog):
    """Every answer is seen by the asking member only."""

    def __init__(self, drawing: DrawingService, samples: StyleSamples) -> None:
        self._drawing, self._samples = drawing, samples

    @app_commands.command(description="What is waiting, and how long it will take")
    async def queue(self, interaction: discord.Interaction) -> None:
        jobs = self._drawing.jobs
        lines = [messages.whole_queue(jobs.open_count, jobs.throughput.expected_s(jobs.steps_left))]
        lines += [messages.own_job(one.request, _state(one)) for one in jobs.open_of(interaction.user.id)]
        await interaction.response.send_message(messages.listing(lines), ephemeral=True)

    @app_commands.command(description="The pictures you had drawn, the newest first")
    async def history(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        page = await _HistoryPage.read(self._drawing, interaction.user.id, 0)
        await interaction.followup.send(view=page, files=page.files, ephemeral=True)

    @app_commands.command(description="What is taken where you say nothing; without options, shows it")
    @app_commands.describe(
        style="The look",
        aspect="The shape",
        quality=QUALITY_TEXT,
        reset="Forget all of your preferences",
    )
    @app_commands.choices(style=STYLE_CHOICES, aspect=ASPECT_CHOICES, quality=QUALITY_CHOICES)
    async def settings(
        self,
        interaction: discord.Interaction,
        style: str | None = None,
        aspect: str | None = None,
        quality: str | None = None,
        reset: bool = False,
    ) -> None:
        await interaction.response.defer(ephemeral=True)
        store = self._drawing.identities.preferences
        user_id = interaction.user.id
        if reset:
            await store.change(user_id, identity_id=None, style=None, aspect=None, quality=None)
        given = {"style": style, "aspect": aspect, "quality": quality}
        changes = {name: value for name, value in given.items() if value is not None}
        preferences = await store.change(user_id, **changes) if changes else await store.of(user_id)
        await interaction.edit_original_response(content=await self._shown(interaction, preferences))

    @app_commands.command(description="The styles and LoRAs that you can choose from, with pictures")
    async def style(self, interaction: discord.Interaction) -> None:
        loras = await self._drawing.allowed_loras(interaction)
        if not self._samples.are_ready:
            await interaction.response.send_message(view=without_listener(_StylesPage({}, loras)), ephemeral=True)
            page = without_listener(_StylesPage(await self._samples.pictures(), loras))
            await interaction.edit_original_response(view=page, attachments=page.files)
            return
        page = without_listener(_StylesPage(await self._samples.pictures(), loras))
        await interaction.response.send_message(view=page, files=page.files, ephemeral=True)

    async def _shown(self, interaction: discord.Interaction, preferences: Preferences) -> str:
        person = gettext("the one you added last")
        if preferences.identity_id is not None:
            try:
                info = await self._drawing.person(interaction, None)
                person = shown(info.name)
            except NotFoundError as error:
                person = spoken(error)
        limits = self._drawing.limits
        usual = await self._drawing.usual(interaction, preferences)
        most = gettext(
            "Up to {pictures} pictures a job and {steps} steps. Choose the person with `/identity default`.",
            pictures=limits.max_pictures,
            steps=limits.max_steps,
        )
        return "\n".join(
            (
                gettext("Person: {person}", person=person),
                gettext("Style: {style}", style=gettext(usual["style"] or "None")),
                gettext("Aspect: {aspect}", aspect=gettext(usual["aspect"] or DEFAULT_ASPECT)),
                gettext("Quality: {quality}", quality=gettext(usual["quality"] or DEFAULT_QUALITY)),
                f"-# {most}",
            )
        )


def _state(job: JobView) -> str:
    if job.is_running:
        return gettext("{share:.0%} drawn", share=job.done)
    return ngettext("{number} job before it", "{number} jobs before it", job.jobs_before)


class _StylesPage(ui.LayoutView):
    """The styles, each with its picture where there are pictures, and the LoRAs."""

    def __init__(self, pictures: Mapping[str, bytes], loras: Sequence[str]) -> None:
        super().__init__(timeout=None)
        self.files: list[discord.File] = []
        container: ui.Container[_StylesPage] = ui.Container()
        container.add_item(ui.TextDisplay(gettext("**Styles** (`style:` of /imagine, /mix and /settings)")))
        for number, (name, picture) in enumerate(pictures.items(), start=1):
            file = f"style-{number}.jpg"
            self.files.append(discord.File(io.BytesIO(picture), file))
            adds = STYLES[name].prompt.format(prompt="…")
            container.add_item(
                ui.Section(
                    f"**{gettext(name)}**\n-# `{adds}`",
                    accessory=ui.Thumbnail(f"attachment://{file}", description=gettext(name)),
                )
            )
        if not pictures:
            container.add_item(ui.TextDisplay(", ".join(map(gettext, STYLES))))
            container.add_item(ui.TextDisplay(f"-# {gettext('Their pictures are being drawn …')}"))
        names = ", ".join(map(discord.utils.escape_markdown, loras)) or gettext("None is loaded here.")
        container.add_item(ui.TextDisplay(f"{gettext('**LoRAs** (`lora:` of /imagine)')}\n{names}"))
        self.add_item(container)


class _HistoryPage(ui.LayoutView):
    """Some finished jobs with thumbnails and links, and buttons to leaf through."""

    def __init__(self, found: Sequence[PastJob], page: int) -> None:
        super().__init__(timeout=None)
        self.files: list[discord.File] = []
        container: ui.Container[_HistoryPage] = ui.Container()
        for past in found[:_PAGE]:
            container.add_item(self._entry(past))
        if not found:
            container.add_item(ui.TextDisplay(gettext("You have no pictures yet. Draw one with /imagine.")))
        self.add_item(container)
        buttons: ui.ActionRow[_HistoryPage] = ui.ActionRow()
        buttons.add_item(HistoryPageButton(gettext("Newer"), page - 1, disabled=page == 0))
        buttons.add_item(HistoryPageButton(gettext("Older"), page + 1, disabled=len(found) <= _PAGE))
        self.add_item(buttons)

    @classmethod
    async def read(cls, drawing: DrawingService, user_id: int, page: int) -> _HistoryPage:
        """A member's page, counted from 0; listening is left to the bot's dynamic items."""
        found = await drawing.jobs.store.history(user_id, _PAGE + 1, page * _PAGE)
        return without_listener(cls(found, page))

    def _entry(self, past: PastJob) -> ui.Item[_HistoryPage]:
        text = messages.past_job(past.record, DrawRequest.from_json(past.record.request), _SHOWN_PROMPT)
        if past.thumbnail is None:
            return ui.TextDisplay(text)
        name = f"thumbnail-{past.record.id}.jpg"
        self.files.append(discord.File(io.BytesIO(past.thumbnail), name))
        return ui.Section(text, accessory=ui.Thumbnail(f"attachment://{name}"))


class _HasStudio(Protocol):
    """What a click's client is, as far as leafing goes."""

    drawing: DrawingService


class HistoryPageButton(ui.DynamicItem[ui.Button[Any]], template=r"photomaker:history:(?P<page>-?\d+)"):
    """Turns to a page of the clicking member's history, which its id names: it works after a restart."""

    def __init__(self, label: str, page: int, *, disabled: bool = False) -> None:
        super().__init__(ui.Button(label=label, disabled=disabled, custom_id=f"photomaker:history:{page}"))
        self._page = page

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> HistoryPageButton:
        return cls(item.label or "" if isinstance(item, ui.Button) else "", int(match["page"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        answer_in_language_of(interaction)
        drawing = cast("_HasStudio", interaction.client).drawing
        try:
            page = await _HistoryPage.read(drawing, interaction.user.id, self._page)
            await interaction.response.edit_message(view=page, attachments=page.files)
        except Exception as error:
            await say(interaction, sentence_for(error, "/history"))
