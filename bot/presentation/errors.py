"""Errors as sentences for members. Every command, view and form comes here."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Final

import aiohttp
import discord
from discord import app_commands

from bot.domain.member_text import quoted
from bot.i18n.catalogue import Spoken, answer_in_language_of, gettext
from photomaker_core.errors import UserError
from storage import StorageError

log = logging.getLogger(__name__)

_SHOWN_VALUE: Final = 300
_ACKNOWLEDGED: Final = 40060
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
    if _is_of_connection(error):
        log.warning("%s: Discord did not answer: %s", doing, error)
        return gettext(
            "Discord did not answer me just now. Please look whether it worked, and try again if it did not."
        )
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


def _is_of_connection(error: BaseException) -> bool:
    """Whether Discord or the way to it failed. ``_ACKNOWLEDGED`` says that a repeated answer had arrived before."""
    if isinstance(error, discord.HTTPException):
        return error.status == 429 or error.status >= 500 or error.code == _ACKNOWLEDGED
    return isinstance(error, aiohttp.ClientError | ConnectionError | discord.RateLimited)


async def say(interaction: discord.Interaction, sentence: str) -> None:
    """Answer a click or a form with a sentence that only its user sees."""
    if not await _says_first(interaction, sentence):
        await interaction.followup.send(sentence, ephemeral=True)


async def _says_first(interaction: discord.Interaction, sentence: str) -> bool:
    """Answer with a sentence, unless something was answered before; False also where Discord alone knows that."""
    if interaction.response.is_done():
        return False
    try:
        await interaction.response.send_message(sentence, ephemeral=True)
    except discord.HTTPException as error:
        if error.code != _ACKNOWLEDGED:
            raise
        return False
    return True


class CommandTree(app_commands.CommandTree[discord.Client]):
    """Answers commands in the member's language, and a failed one with a sentence that only its user sees."""

    async def interaction_check(self, interaction: discord.Interaction, /) -> bool:
        answer_in_language_of(interaction)
        return True

    async def on_error(self, interaction: discord.Interaction, error: app_commands.AppCommandError, /) -> None:
        command = interaction.command.qualified_name if interaction.command else "an interaction"
        sentence = sentence_for(error, f"/{command}")
        try:
            if not await _says_first(interaction, sentence):
                await interaction.edit_original_response(content=sentence, embed=None, attachments=[], view=None)
        except (discord.HTTPException, aiohttp.ClientError, OSError):
            log.warning("could not tell a member that /%s failed", command, exc_info=True)
