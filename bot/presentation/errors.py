"""Errors as sentences for members. Every command, view and form comes here."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Final

import discord
from discord import app_commands

from bot.domain.member_text import quoted
from bot.i18n.catalogue import Spoken, answer_in_language_of, gettext
from photomaker_core.errors import UserError
from storage import StorageError

log = logging.getLogger(__name__)

_SHOWN_VALUE: Final = 300
_MENTIONS: Final = re.compile(r"<[@#][!&]?\d+>(?:, <[@#][!&]?\d+>)*")
"""Values that stay as they are: the bot names channels and members by mentions."""


def sentence_for(error: BaseException, doing: str) -> str:
    """The sentence that the member reads: the error's own, or an apology with a reference id that the log has."""
    if isinstance(error, app_commands.CommandInvokeError | app_commands.TransformerError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, UserError | StorageError):
        return sentence_of(error)
    if isinstance(error, app_commands.CheckFailure):
        return gettext("You may not use this command here.")
    reference = secrets.token_hex(4)
    log.error("%s failed [%s]", doing, reference, exc_info=error)
    return gettext(
        "Sorry, something went wrong on my side. If you tell the operator, give this reference: `{reference}`",
        reference=reference,
    )


def sentence_of(error: Spoken) -> str:
    """An error's own sentence in the member's language. Its values are escaped: somebody may have typed them."""
    shown = {
        name: quoted(value, _SHOWN_VALUE) if isinstance(value, str) and not _MENTIONS.fullmatch(value) else value
        for name, value in error.values.items()
    }
    return gettext(error.sentence, **shown)


async def say(interaction: discord.Interaction, sentence: str) -> None:
    """Answer a click or a form with a sentence that only its user sees."""
    if interaction.response.is_done():
        await interaction.followup.send(sentence, ephemeral=True)
    else:
        await interaction.response.send_message(sentence, ephemeral=True)


class CommandTree(app_commands.CommandTree[discord.Client]):
    """Answers commands in the member's language, and a failed one with a sentence that only its user sees."""

    async def interaction_check(self, interaction: discord.Interaction, /) -> bool:
        answer_in_language_of(interaction)
        return True

    async def on_error(self, interaction: discord.Interaction, error: app_commands.AppCommandError, /) -> None:
        command = interaction.command.qualified_name if interaction.command else "an interaction"
        sentence = sentence_for(error, f"/{command}")
        try:
            if not interaction.response.is_done():
                await interaction.response.send_message(sentence, ephemeral=True)
            else:
                await interaction.edit_original_response(content=sentence, embed=None, attachments=[], view=None)
        except discord.HTTPException:
            log.warning("could not tell a member that /%s failed", command, exc_info=True)
