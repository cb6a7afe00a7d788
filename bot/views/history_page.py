"""A page of a member's finished jobs with thumbnails and links, and the buttons that turn it. Called by /history."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import discord
from discord import ui

from bot.domain.draw_request import DrawRequest, RequestFormatError
from bot.i18n.catalogue import answer_in_language_of, gettext
from bot.presentation import messages
from bot.presentation.errors import say, sentence_for, sentence_of
from bot.views.persistent import without_listener
from storage import JobStore, PastJob

_PAGE: Final = 4
_SHOWN_PROMPT: Final = 200


class HistoryPage(ui.LayoutView):
    """Some finished jobs, the newest first; ``files`` are their thumbnails, to be sent along."""

    def __init__(self, found: Sequence[PastJob], page: int) -> None:
        super().__init__(timeout=None)
        self.files: list[discord.File] = []
        container: ui.Container[HistoryPage] = ui.Container()
        for past in found[:_PAGE]:
            container.add_item(self._entry(past))
        if not found:
            told = "You have no pictures yet. Draw one with /imagine." if page == 0 else "There are no older pictures."
            container.add_item(ui.TextDisplay(gettext(told)))
        self.add_item(container)
        buttons: ui.ActionRow[HistoryPage] = ui.ActionRow()
        buttons.add_item(HistoryPageButton(gettext("Newer"), page - 1, disabled=page == 0))
        buttons.add_item(HistoryPageButton(gettext("Older"), page + 1, disabled=len(found) <= _PAGE))
        self.add_item(buttons)

    @classmethod
    async def read(cls, jobs: JobStore, user_id: int, page: int) -> HistoryPage:
        """A member's page, counted from 0; the bot's dynamic items listen for its buttons."""
        found = await jobs.history(user_id, _PAGE + 1, page * _PAGE)
        return without_listener(cls(found, page))

    def _entry(self, past: PastJob) -> ui.Item[HistoryPage]:
        try:
            text = messages.past_job(past.record, DrawRequest.from_json(past.record.request), _SHOWN_PROMPT)
        except RequestFormatError as error:
            text = sentence_of(error)
        if past.thumbnail is None:
            return ui.TextDisplay(text)
        name = f"thumbnail-{past.record.id}.jpg"
        self.files.append(discord.File(io.BytesIO(past.thumbnail), name, spoiler=past.is_spoiler))
        return ui.Section(text, accessory=ui.Thumbnail(self.files[-1]))


class _HasJobStore(Protocol):
    """The bot, as far as turning pages needs it."""

    job_store: JobStore


class HistoryPageButton(ui.DynamicItem[ui.Button[Any]], template=r"photomaker:history:(?P<page>-?\d{1,6})"):
    """A button that turns to a page of the clicking member's history. Its id names the page: it survives restarts."""

    def __init__(self, label: str, page: int, *, disabled: bool = False) -> None:
        super().__init__(ui.Button(label=label, disabled=disabled, custom_id=f"photomaker:history:{page}"))
        self._page = page

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> HistoryPageButton:
        """The button of a clicked message."""
        return cls(item.label or "" if isinstance(item, ui.Button) else "", int(match["page"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        """Show the page in the place of the one that is shown."""
        answer_in_language_of(interaction)
        jobs = cast("_HasJobStore", interaction.client).job_store
        try:
            page = await HistoryPage.read(jobs, interaction.user.id, max(0, self._page))
            await interaction.response.edit_message(view=page, attachments=page.files)
        except Exception as error:
            await say(interaction, sentence_for(error, "/history"))
