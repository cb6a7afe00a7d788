"""A page of what was drawn of a person, with thumbnails, and the buttons that turn it or delete a picture. Called by
/identity activity."""

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
from bot.presentation.removals import with_traces
from bot.services.activity import ActivityService
from bot.views.persistent import without_listener
from storage import PastJob

_PAGE: Final = 4
_SHOWN_PROMPT: Final = 200


class ActivityPage(ui.LayoutView):
    """Some pictures of one person, the newest first; ``files`` are their thumbnails, to be sent along."""

    def __init__(self, identity_id: int, found: Sequence[PastJob], page: int) -> None:
        super().__init__(timeout=None)
        self.files: list[discord.File] = []
        container: ui.Container[ActivityPage] = ui.Container()
        for past in found[:_PAGE]:
            container.add_item(self._entry(past))
            row: ui.ActionRow[ActivityPage] = ui.ActionRow()
            row.add_item(ActivityDeleteButton(gettext("Delete"), identity_id, past.record.id, page))
            container.add_item(row)
        if not found:
            told = "Nobody has drawn this person yet." if page == 0 else "There are no older pictures."
            container.add_item(ui.TextDisplay(gettext(told)))
        self.add_item(container)
        buttons: ui.ActionRow[ActivityPage] = ui.ActionRow()
        buttons.add_item(ActivityPageButton(gettext("Newer"), identity_id, page - 1, disabled=page == 0))
        buttons.add_item(ActivityPageButton(gettext("Older"), identity_id, page + 1, disabled=len(found) <= _PAGE))
        self.add_item(buttons)

    @classmethod
    async def read(cls, activity: ActivityService, owner_id: int, identity_id: int, page: int) -> ActivityPage:
        """An owner's page, counted from 0; the bot's dynamic items listen for its buttons."""
        found = await activity.page(owner_id, identity_id, _PAGE + 1, page * _PAGE)
        return without_listener(cls(identity_id, found, page))

    def _entry(self, past: PastJob) -> ui.Item[ActivityPage]:
        who = gettext("Drawn by {member}", member=f"<@{past.record.user_id}>")
        try:
            about = messages.past_job(past.record, DrawRequest.from_json(past.record.request), _SHOWN_PROMPT)
        except RequestFormatError as error:
            about = sentence_of(error)
        text = f"{who}\n{about}"
        if past.thumbnail is None:
            return ui.TextDisplay(text)
        name = f"thumbnail-{past.record.id}.jpg"
        self.files.append(discord.File(io.BytesIO(past.thumbnail), name, spoiler=past.is_spoiler))
        return ui.Section(text, accessory=ui.Thumbnail(self.files[-1]))


class _HasActivity(Protocol):
    """The part of a click's client that the buttons need."""

    identity_activity: ActivityService


class ActivityPageButton(
    ui.DynamicItem[ui.Button[Any]], template=r"photomaker:activity:(?P<identity>\d{1,18}):(?P<page>-?\d{1,6})"
):
    """Turns to a page of the clicking owner's person."""

    def __init__(self, label: str, identity_id: int, page: int, *, disabled: bool = False) -> None:
        custom_id = f"photomaker:activity:{identity_id}:{page}"
        super().__init__(ui.Button(label=label, disabled=disabled, custom_id=custom_id))
        self._identity_id, self._page = identity_id, page

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> ActivityPageButton:
        return cls(_label(item), int(match["identity"]), int(match["page"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        answer_in_language_of(interaction)
        activity = cast("_HasActivity", interaction.client).identity_activity
        try:
            page = await ActivityPage.read(activity, interaction.user.id, self._identity_id, max(0, self._page))
            await interaction.response.edit_message(view=page, attachments=page.files)
        except Exception as error:
            await say(interaction, sentence_for(error, "/identity activity"))


class ActivityDeleteButton(
    ui.DynamicItem[ui.Button[Any]],
    template=r"photomaker:activity-delete:(?P<identity>\d{1,18}):(?P<job>\d{1,18}):(?P<page>\d{1,6})",
):
    """Deletes a picture of the clicking owner's person: its message, and what is stored of it."""

    def __init__(self, label: str, identity_id: int, job_id: int, page: int) -> None:
        custom_id = f"photomaker:activity-delete:{identity_id}:{job_id}:{page}"
        super().__init__(ui.Button(label=label, emoji="🗑️", custom_id=custom_id))
        self._identity_id, self._job_id, self._page = identity_id, job_id, page

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> ActivityDeleteButton:
        return cls(_label(item), int(match["identity"]), int(match["job"]), int(match["page"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        answer_in_language_of(interaction)
        activity = cast("_HasActivity", interaction.client).identity_activity
        try:
            await interaction.response.defer()
            deleted = await activity.delete(interaction.user.id, self._identity_id, self._job_id)
            page = await ActivityPage.read(activity, interaction.user.id, self._identity_id, self._page)
            await interaction.edit_original_response(view=page, attachments=page.files)
            told = gettext("The picture is deleted.")
            if not deleted.message_is_gone:
                told = gettext(
                    "What I had stored of the picture is deleted. I may not delete its message there; "
                    "ask the moderators, or whoever drew it."
                )
            await interaction.followup.send(with_traces(told, deleted.is_final), ephemeral=True)
        except Exception as error:
            await say(interaction, sentence_for(error, "/identity activity"))


def _label(item: ui.Item[Any]) -> str:
    return item.label or "" if isinstance(item, ui.Button) else ""
