"""Base classes of views and forms: their failures become sentences that only the member who used them sees."""

from __future__ import annotations

from typing import Any, ClassVar, Final, TypeVar
from weakref import WeakValueDictionary

import discord
from discord import ui

from bot.i18n.catalogue import answer_in_language_of, gettext
from bot.presentation.errors import say, sentence_for

FORM_TIMEOUT_S: Final = 900.0
"""The time after which a form that was not sent is forgotten."""

V = TypeVar("V", bound=ui.View | ui.LayoutView)


class PersistentView(ui.View):
    """A view that never times out. The bot registers one of each kind, so that it answers after a restart too.

    Its labels are English in the code; where it is made for a message, they are in the member's language.
    """

    doing: ClassVar[str] = "a button"

    def __init__(self) -> None:
        super().__init__(timeout=None)
        for child in self.children:
            if isinstance(child, ui.Button) and child.label:
                child.label = gettext(child.label)
            elif isinstance(child, ui.Select) and child.placeholder:
                child.placeholder = gettext(child.placeholder)

    async def interaction_check(self, interaction: discord.Interaction, /) -> bool:
        answer_in_language_of(interaction)
        return True

    async def on_error(self, interaction: discord.Interaction, error: Exception, item: ui.Item[Any], /) -> None:
        await say(interaction, sentence_for(error, self.doing))


class PersistentForm(ui.Modal):
    """A form. Its texts are given in the member's language.

    Discord tells nobody that a form was dismissed. A member can have one open at a time, so the one before is
    forgotten when they open the next, and the last one after :data:`FORM_TIMEOUT_S`.
    """

    _last_opened: ClassVar[WeakValueDictionary[int, PersistentForm]] = WeakValueDictionary()

    def __init__(self, title: str) -> None:
        super().__init__(title=title, timeout=FORM_TIMEOUT_S)

    async def open_for(self, interaction: discord.Interaction) -> None:
        """Show the form to the member as the answer to their command or click."""
        dismissed = self._last_opened.pop(interaction.user.id, None)
        if dismissed is not None:
            dismissed.stop()
        await interaction.response.send_modal(self)
        self._last_opened[interaction.user.id] = self

    async def interaction_check(self, interaction: discord.Interaction, /) -> bool:
        answer_in_language_of(interaction)
        return True

    async def on_error(self, interaction: discord.Interaction, error: Exception, /) -> None:  # type: ignore[override]
        self.stop()
        await say(interaction, sentence_for(error, f"the form “{self.title}”"))


def without_listener(view: V) -> V:
    """Stop a view from listening: discord.py would otherwise keep one in memory for every message."""
    view.stop()
    return view
