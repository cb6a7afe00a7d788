"""/style: the styles and LoRAs that members can choose from, with a picture of each style."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot.cogs.options import Suggestions
from bot.domain.member_text import quoted
from bot.i18n.catalogue import gettext
from bot.presentation.errors import sentence_for
from bot.services.style_samples import StyleSamples
from bot.views.persistent import without_listener
from photomaker_core.presets.styles import STYLES

_MOST_FILES: Final = 10
"""Discord takes no more with one message."""
_SHOWN_LORAS: Final = 1000


class StyleCommands(commands.Cog):
    """The command that shows the styles."""

    def __init__(self, samples: StyleSamples, suggestions: Suggestions) -> None:
        self._samples, self._suggestions = samples, suggestions

    @app_commands.command(description="The styles and LoRAs that you can choose from, with pictures")
    async def style(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        loras = await self._suggestions.allowed_loras(interaction)
        if not self._samples.are_ready:
            waiting = gettext("Their pictures are being drawn …")
            await interaction.edit_original_response(view=_StylesPage.of_names(loras, waiting))
        try:
            first, *others = _pages(await self._samples.pictures(), loras)
            await interaction.edit_original_response(view=first, attachments=first.files)
            for page in others:
                await interaction.followup.send(view=page, files=page.files, ephemeral=True)
        except Exception as error:
            # A message of components takes no text any more, so the usual answer to an error would be refused.
            sentence = sentence_for(error, "/style")
            page = _StylesPage.of_names(loras, sentence)
            await interaction.edit_original_response(view=page, attachments=[])


class _StylesPage(ui.LayoutView):
    """Texts and styles with their pictures; ``files`` are the pictures, to be sent along."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.files: list[discord.File] = []
        self._container: ui.Container[_StylesPage] = ui.Container()
        self.add_item(self._container)

    @classmethod
    def of_names(cls, loras: Sequence[str], note: str) -> _StylesPage:
        """A page without pictures, and a note on why."""
        page = cls()
        page.add_text(_heading())
        page.add_text(", ".join(map(gettext, STYLES)))
        page.add_text(f"-# {note}")
        page.add_text(_loras(loras))
        return without_listener(page)

    def add_text(self, text: str) -> None:
        self._container.add_item(ui.TextDisplay(text))

    def add_style(self, name: str, picture: bytes | None) -> None:
        text = f"**{gettext(name)}**\n-# `{STYLES[name].prompt.format(prompt='…')}`"
        if picture is None:
            self.add_text(text)
            return
        file = f"style-{len(self.files) + 1}.jpg"
        self.files.append(discord.File(io.BytesIO(picture), file))
        self._container.add_item(
            ui.Section(
                text,
                accessory=ui.Thumbnail(f"attachment://{file}", description=gettext(name)),
            )
        )


def _pages(pictures: Mapping[str, bytes | None], loras: Sequence[str]) -> Iterator[_StylesPage]:
    """Lay the pictures out on as few pages as they need, about equally long; the first one ends with the LoRAs."""
    styles = list(pictures.items())
    size = math.ceil(len(styles) / math.ceil(len(styles) / _MOST_FILES))
    for start in range(0, len(styles), size):
        page = _StylesPage()
        if start == 0:
            page.add_text(_heading())
        for name, picture in styles[start : start + size]:
            page.add_style(name, picture)
        if start == 0:
            page.add_text(_loras(loras))
        yield without_listener(page)


def _heading() -> str:
    return gettext("**Styles** (`style:` of /imagine, /mix and /settings)")


def _loras(loras: Sequence[str]) -> str:
    names = quoted(", ".join(loras), _SHOWN_LORAS) or gettext("None is loaded here.")
    return f"{gettext('**LoRAs** (`lora:` of /imagine)')}\n{names}"
