"""The buttons under a job's message: cancel while it is drawn; then again, change, delete.

They carry no state: a click finds its job by the message it stands under, so they work after a restart. The bot
registers one view of each kind when it starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import discord
from discord import ui

from bot.commands.choosing import fresh_seed
from bot.errors import say, sentence_for
from bot.jobs import JobDesk
from bot.requests import MAX_PROMPT_CHARACTERS, DrawRequest, Limits, checked_request
from photomaker_core.errors import SettingsError, UserError
from storage import JobRecord

_GONE: Final = "I do not know this picture any more. Draw a new one with /imagine."


class JobButtons:
    """Makes the views; ``desk`` is asked when a button is clicked, as it does not exist before the bot runs."""

    def __init__(self, desk: Callable[[], JobDesk], limits: Limits) -> None:
        self._desk, self._limits = desk, limits

    def listening(self) -> list[ui.View]:
        """One view of each kind, for the bot to register: they answer the clicks under every message."""
        return [_RunningView(self._desk), _DoneView(self._desk, self._limits)]

    def running(self) -> ui.View:
        """For the message of a job that is drawn."""
        return _only_shown(_RunningView(self._desk))

    def done(self) -> ui.View:
        """For the message of a job that is done."""
        return _only_shown(_DoneView(self._desk, self._limits))


def _only_shown(view: ui.View) -> ui.View:
    """A view that listens to nobody: discord.py would otherwise keep one in memory for every message."""
    view.stop()
    return view


class _JobView(ui.View):
    """A persistent view whose failures become sentences that only the clicking member sees."""

    def __init__(self, desk: Callable[[], JobDesk]) -> None:
        super().__init__(timeout=None)
        self._desk = desk

    async def on_error(self, interaction: discord.Interaction, error: Exception, item: ui.Item[Any], /) -> None:
        await say(interaction, sentence_for(error, "a button"))

    async def _own_job(self, interaction: discord.Interaction, *, or_moderator: bool = False) -> JobRecord:
        """The job of the clicked message; raises :class:`UserError` when it is somebody else's or gone."""
        assert interaction.message is not None
        record = await self._desk().store.by_message(interaction.message.id)
        if record is None:
            raise UserError(_GONE)
        is_moderator = or_moderator and interaction.permissions.manage_messages
        if record.user_id != interaction.user.id and not is_moderator:
            raise UserError(f"This picture is <@{record.user_id}>’s; only they can do that.")
        return record


class _RunningView(_JobView):
    @ui.button(label="Cancel", style=discord.ButtonStyle.secondary, custom_id="photomaker:cancel")
    async def cancel(self, interaction: discord.Interaction, _button: ui.Button[_RunningView]) -> None:
        record = await self._own_job(interaction, or_moderator=True)
        if not self._desk().cancel(record.id):
            raise UserError("It has ended already.")
        await interaction.response.defer()


class _DoneView(_JobView):
    def __init__(self, desk: Callable[[], JobDesk], limits: Limits) -> None:
        super().__init__(desk)
        self._limits = limits

    @ui.button(label="Again", emoji="🔁", style=discord.ButtonStyle.secondary, custom_id="photomaker:again")
    async def again(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """The same with another seed."""
        record = await self._own_job(interaction)
        request = replace(DrawRequest.from_json(record.request), seed=fresh_seed())
        await interaction.response.defer(thinking=True)
        await self._desk().accept(interaction, request)

    @ui.button(label="Change", emoji="✏️", style=discord.ButtonStyle.secondary, custom_id="photomaker:change")
    async def change(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """A form with the prompt, the negative prompt and the seed."""
        record = await self._own_job(interaction)
        await interaction.response.send_modal(
            _ChangeModal(self._desk, self._limits, DrawRequest.from_json(record.request))
        )

    @ui.button(label="Delete", emoji="🗑️", style=discord.ButtonStyle.secondary, custom_id="photomaker:delete")
    async def delete(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        await self._own_job(interaction, or_moderator=True)
        await interaction.response.defer()
        await interaction.delete_original_response()


class _ChangeModal(ui.Modal, title="Draw it differently"):
    """What the member changes becomes a new job; all else stays as it was."""

    def __init__(self, desk: Callable[[], JobDesk], limits: Limits, request: DrawRequest) -> None:
        super().__init__()
        self._desk, self._limits, self._request = desk, limits, request
        self.prompt: ui.TextInput[_ChangeModal] = ui.TextInput(
            custom_id="prompt",
            style=discord.TextStyle.paragraph,
            default=request.prompt,
            max_length=MAX_PROMPT_CHARACTERS,
        )
        self.negative: ui.TextInput[_ChangeModal] = ui.TextInput(
            custom_id="negative", default=request.negative, required=False, max_length=MAX_PROMPT_CHARACTERS
        )
        self.seed: ui.TextInput[_ChangeModal] = ui.TextInput(
            custom_id="seed", default=str(request.seed), required=False, max_length=20
        )
        for text, description, field in (
            ("Prompt", None, self.prompt),
            ("What should not be in the picture", None, self.negative),
            ("Seed", "The same seed keeps the composition; empty it for a new one", self.seed),
        ):
            self.add_item(ui.Label(text=text, description=description, component=field))

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        old = self._request
        request = checked_request(
            prompt=self.prompt.value,
            identities=old.identities,
            limits=self._limits,
            fresh_seed=fresh_seed(),
            style=old.style,
            aspect=old.aspect,
            steps=min(old.steps, self._limits.max_steps),
            guidance=old.guidance,
            seed=_whole_number(self.seed.value),
            count=min(old.count, self._limits.max_pictures),
            negative=self.negative.value,
        )
        await interaction.response.defer(thinking=True)
        await self._desk().accept(interaction, request)

    async def on_error(self, interaction: discord.Interaction, error: Exception, /) -> None:  # type: ignore[override]
        await say(interaction, sentence_for(error, "a form"))


def _whole_number(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"A seed is a whole number; “{text}” is not.") from None
