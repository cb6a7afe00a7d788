"""The pages of /identity list: the people that a member may draw, some at a time."""

from __future__ import annotations

import re
from typing import Any, Final, Protocol, cast

import discord
from discord import ui

from bot.domain.identity_names import shown
from bot.i18n.catalogue import answer_in_language_of, gettext, ngettext
from bot.presentation.errors import say, sentence_for
from bot.services.drawing import DrawingService
from bot.services.identities import IdentityService
from bot.views.persistent import without_listener
from storage import IdentityInfo

PAGE: Final = 10


async def identity_page(
    identities: IdentityService, interaction: discord.Interaction, page: int
) -> tuple[str, ui.View | None]:
    """A page of the list for whoever asks, counted from 0, and buttons where there are several.

    In the place of a page that is there no longer comes the last one.
    """
    user_id = interaction.user.id
    found, number = await identities.store.all_accessible(user_id, interaction.guild_id, PAGE, page * PAGE)
    pages = -(-number // PAGE)
    if page >= pages > 0:
        return await identity_page(identities, interaction, pages - 1)
    default = (await identities.preferences.of(user_id)).identity_id
    found = await cast("_HasIdentities", interaction.client).drawing.drawable(interaction, found)
    lines = [_line(info, user_id) + (gettext(" · your default") if info.id == default else "") for info in found]
    if not number:
        lines = [gettext("You have no identity yet. Add one with `/identity add`.")]
    if pages <= 1:
        return "\n".join(lines), None
    lines.append(gettext("-# Page {page} of {pages}", page=page + 1, pages=pages))
    view = ui.View(timeout=None)
    view.add_item(IdentityPageButton(gettext("Back"), page - 1, disabled=page == 0))
    view.add_item(IdentityPageButton(gettext("Next"), page + 1, disabled=page + 1 >= pages))
    return "\n".join(lines), without_listener(view)


def _line(info: IdentityInfo, user_id: int) -> str:
    if info.owner_id != user_id:
        return gettext("- {name}, shared by {owner}", name=shown(info.name), owner=f"<@{info.owner_id}>")
    return gettext(
        "- {name}, {photos}, added {day}", name=shown(info.name), photos=photo_count(info), day=day_added(info)
    )


def photo_count(info: IdentityInfo) -> str:
    return ngettext("{number} photo", "{number} photos", info.photo_count)


def day_added(info: IdentityInfo) -> str:
    return discord.utils.format_dt(info.created_at, "d")


class _HasIdentities(Protocol):
    """The part of a click's client that the buttons need."""

    identities: IdentityService
    drawing: DrawingService


class IdentityPageButton(ui.DynamicItem[ui.Button[Any]], template=r"photomaker:identities:(?P<page>-?\d{1,6})"):
    """Turns to a page of the clicking member's list, which its id names: it works after a restart."""

    def __init__(self, label: str, page: int, *, disabled: bool = False) -> None:
        super().__init__(ui.Button(label=label, disabled=disabled, custom_id=f"photomaker:identities:{page}"))
        self._page = page

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> IdentityPageButton:
        return cls(item.label or "" if isinstance(item, ui.Button) else "", int(match["page"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        answer_in_language_of(interaction)
        identities = cast("_HasIdentities", interaction.client).identities
        try:
            content, view = await identity_page(identities, interaction, max(0, self._page))
            await interaction.response.edit_message(content=content, view=view)
        except Exception as error:
            await say(interaction, sentence_for(error, "/identity list"))
