"""Views and forms whose failures become sentences that only the member who used them sees."""

from __future__ import annotations

from typing import Any, ClassVar, Final, TypeVar

import discord
from discord import ui

from bot.i18n.catalogue import answer_in_language_of, gettext
from bot.presentation.errors import say, sentence_for

FORM_TIMEOUT_S: Final = 900.0
"""How long a form waits to be sent: nobody tells a bot that one was dismissed."""

V = TypeVar("V", bound=ui.View | ui.LayoutView)


class PersistentView(ui.View):
    """A view that never times out; the bot registers one of each kind, which answers after a restart too.

    Its labels are English in the code, and in the member's language where it is made for a message.
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
    """A form. Its texts are given in the member's language."""

    def __init__(self, title: str) -> None:
        super().__init__(title=title, timeout=FORM_TIMEOUT_S)

    async def interaction_check(self, interaction: discord.Interaction, /) -> bool:
        answer_in_language_of(interaction)
        return True

    async def on_error(self, interaction: discord.Interaction, error: Exception, /) -> None:  # type: ignore[override]
        await say(interaction, sentence_for(error, f"the form “{self.title}”"))


def without_listener(view: V) -> V:
    """A view that listens to nobody: discord.py would otherwise keep one in memory for every message."""
    view.stop()
    return view
