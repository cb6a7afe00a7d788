"""The one place where errors become sentences for members."""

from __future__ import annotations

import logging
import secrets

import discord
from discord import app_commands

from bot.i18n.catalogue import answer_in_language_of, gettext, spoken
from photomaker_core.errors import UserError
from storage import StorageError

log = logging.getLogger(__name__)


def sentence_for(error: BaseException, doing: str) -> str:
    """What the member reads: the error's own sentence, or an apology with a reference id that the log has."""
    if isinstance(error, app_commands.CommandInvokeError | app_commands.TransformerError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, UserError | StorageError):
        return spoken(error)
    if isinstance(error, app_commands.CheckFailure):
        return gettext("You may not use this command here.")
    reference = secrets.token_hex(4)
    log.error("%s failed [%s]", doing, reference, exc_info=error)
    return gettext(
        "Sorry, something went wrong on my side. If you tell the operator, give this reference: `{reference}`",
        reference=reference,
    )


async def say(interaction: discord.Interaction, sentence: str) -> None:
    """Answer a click or a form with a sentence that only its user sees."""
    if interaction.response.is_done():
        await interaction.followup.send(sentence, ephemeral=True)
    else:
        await interaction.response.send_message(sentence, ephemeral=True)


class CommandTree(app_commands.CommandTree[discord.Client]):
    """Answers in the member's language, and every failed command with a sentence that only its user sees."""

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
