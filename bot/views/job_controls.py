"""Buttons under a job's message: cancel while it is drawn; then again, change, vary, enlarge, keep, report, delete.

They carry no state: a click finds its job by the message it stands under, so they work after a restart. The bot
registers one view of each kind when it starts.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Final

import discord
from discord import ui

from bot.domain.draw_request import DrawRequest
from bot.domain.places import exchanged, of_picture, with_seed
from bot.i18n.catalogue import gettext
from bot.presentation.downloads import downloaded
from bot.services.drawing import fresh_seed
from bot.services.job_messages import Attached, as_files
from bot.services.picture_check import note_on_left_out
from bot.views.job_forms import ChangeForm, JobServices, KeepForm, ReportForm
from bot.views.persistent import PersistentView, without_listener
from photomaker_core.errors import UserError
from storage import JobRecord

_GONE: Final = "I do not know this picture any more. Draw a new one with /imagine."
_LIKENESS_STEP: Final = 10.0
_STYLE_STEP: Final = 15.0
_STRENGTH_RANGE: Final = (0.0, 65.0)


@dataclass(frozen=True, slots=True)
class Rework:
    """A change to one picture of a job: ``denoise_strength`` of the schedule anew, ``upscale_factor`` the size."""

    label: str
    denoise_strength: float
    upscale_factor: float = 1.0


REWORKS: Final = {
    "upscale": Rework("Upscale", 0.3, 1.5),
    "subtle": Rework("Vary a little", 0.45),
    "strong": Rework("Vary a lot", 0.75),
}


def listening_views(services: JobServices) -> list[ui.View]:
    """One view of each kind, for the bot to register: they answer the clicks under every message."""
    return [_RunningView(services), _DoneView(services)]


def running_controls() -> ui.View:
    """The buttons for the message of a job that is drawn."""
    return without_listener(_RunningView())


def done_controls(request: DrawRequest) -> ui.View:
    """The buttons for the message of a job that is done."""
    view = _DoneView()
    view.fit(request)
    return without_listener(view)


class _JobView(PersistentView):
    """A view under a job's message. One that is only sent has no services: those that the bot registered answer."""

    def __init__(self, services: JobServices | None = None) -> None:
        super().__init__()
        self._registered_services = services

    @property
    def _services(self) -> JobServices:
        assert self._registered_services is not None, "a view that was only sent answers no click"
        return self._registered_services

    async def _job(self, interaction: discord.Interaction) -> JobRecord:
        """The job of the clicked message; raises :class:`UserError` when it is gone."""
        assert interaction.message is not None
        record = await self._services.job_store.by_message(interaction.message.id)
        if record is None:
            raise UserError(_GONE)
        return record

    async def _own_job(self, interaction: discord.Interaction, *, or_moderator: bool = False) -> JobRecord:
        """The job of the clicked message; raises :class:`UserError` also when it is somebody else's."""
        record = await self._job(interaction)
        is_moderator = or_moderator and interaction.permissions.manage_messages
        if record.user_id != interaction.user.id and not is_moderator:
            raise UserError("This picture is {member}’s; only they can do that.", member=f"<@{record.user_id}>")
        return record


class _RunningView(_JobView):
    @ui.button(label="Cancel", style=discord.ButtonStyle.secondary, custom_id="photomaker:cancel")
    async def cancel(self, interaction: discord.Interaction, _button: ui.Button[_RunningView]) -> None:
        record = await self._own_job(interaction, or_moderator=True)
        if not self._services.jobs.cancel(record.id):
            raise UserError("It has ended already.")
        await interaction.response.defer()


class _DoneView(_JobView):
    def fit(self, request: DrawRequest) -> None:
        """Leave out what makes no sense for a request: the menu where there is one picture, the buttons where more."""
        if request.layout is None:
            self.remove_item(self.swap)
        shown = len(request.shown)
        if shown == 1:
            self.remove_item(self.rework)
        else:
            for button in (self.upscale, self.vary_subtly, self.vary_strongly):
                self.remove_item(button)
            for option in _rework_options(shown):
                self.rework.append_option(option)

    @ui.button(label="Again", emoji="🔁", custom_id="photomaker:again", row=0)
    async def again(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Draw it with another seed."""
        record = await self._own_job(interaction)
        await self._draw(interaction, with_seed(_whole(record), fresh_seed()))

    @ui.button(label="Change", emoji="✏️", custom_id="photomaker:change", row=0)
    async def change(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Open a form with the prompt, the negative prompt and the seed."""
        record = await self._own_job(interaction)
        await ChangeForm(self._services.drawing, _whole(record)).open_for(interaction)

    @ui.button(label="More like them", custom_id="photomaker:person", row=0)
    async def more_person(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Draw it with the identity merged in earlier."""
        await self._with_strength(interaction, -_LIKENESS_STEP)

    @ui.button(label="More style", custom_id="photomaker:style", row=0)
    async def more_style(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Draw it with the identity merged in later."""
        await self._with_strength(interaction, _STYLE_STEP)

    @ui.button(label="Delete", emoji="🗑️", custom_id="photomaker:delete", row=0)
    async def delete(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Remove the message and all that is kept of it: pictures, prompt and settings; it leaves the history too.

        The message goes first: where that fails, its button still works.
        """
        await self._own_job(interaction, or_moderator=True)
        assert interaction.message is not None
        await interaction.response.defer()
        with contextlib.suppress(discord.NotFound):
            await interaction.delete_original_response()
        await self._services.privacy.erase_picture(interaction.message.id)

    @ui.button(label=REWORKS["upscale"].label, emoji="🔎", custom_id="photomaker:upscale", row=1)
    async def upscale(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        await self._rework(interaction, 0, REWORKS["upscale"])

    @ui.button(label=REWORKS["subtle"].label, custom_id="photomaker:subtle", row=1)
    async def vary_subtly(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        await self._rework(interaction, 0, REWORKS["subtle"])

    @ui.button(label=REWORKS["strong"].label, custom_id="photomaker:strong", row=1)
    async def vary_strongly(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        await self._rework(interaction, 0, REWORKS["strong"])

    @ui.select(placeholder="Upscale or vary one of them", custom_id="photomaker:rework", row=2)
    async def rework(self, interaction: discord.Interaction, select: ui.Select[_DoneView]) -> None:
        """Rework one picture of several."""
        kind, _, number = select.values[0].partition(":")
        await self._rework(interaction, int(number), REWORKS[kind])

    @ui.button(label="Swap places", emoji="🔀", custom_id="photomaker:swap", row=3)
    async def swap(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Draw it with each person in the place of the next."""
        record = await self._own_job(interaction)
        await self._draw(interaction, exchanged(_whole(record)))

    @ui.button(label="Send me", emoji="✉️", custom_id="photomaker:dm", row=3)
    async def send(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Send the pictures as a direct message."""
        await self._own_job(interaction)
        assert interaction.message is not None
        await interaction.response.defer(ephemeral=True, thinking=True)
        own = [Attached(one.filename, await downloaded(one)) for one in interaction.message.attachments]
        files = await self._services.check.for_direct_message(own)
        if not files:
            raise UserError(note_on_left_out())
        told = [interaction.message.jump_url, *([] if len(files) == len(own) else [note_on_left_out()])]
        try:
            await interaction.user.send("\n".join(told), files=as_files(files))
        except discord.Forbidden:
            raise UserError(
                "I may not write to you. Allow direct messages in this server's privacy settings."
            ) from None
        await interaction.followup.send(gettext("Sent."), ephemeral=True)

    @ui.button(label="Keep prompt", emoji="📌", custom_id="photomaker:keep", row=3)
    async def keep(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Open a form with a name for the prompt; anybody may keep anybody's prompt."""
        record = await self._job(interaction)
        await KeepForm(self._services.prompts, _whole(record).prompt).open_for(interaction)

    @ui.button(label="Report", emoji="🚩", custom_id="photomaker:report", row=3)
    async def report(self, interaction: discord.Interaction, _button: ui.Button[_DoneView]) -> None:
        """Open a form for what is wrong with the picture; anybody may report."""
        await ReportForm(self._services.reports, await self._job(interaction)).open_for(interaction)

    async def _with_strength(self, interaction: discord.Interaction, difference: float) -> None:
        request = _whole(await self._own_job(interaction))
        strength = moved_strength(request.style_strength, difference)
        if strength is None:
            raise UserError("It cannot go further that way.")
        await self._draw(interaction, replace(request, style_strength=strength))

    async def _rework(self, interaction: discord.Interaction, number: int, rework: Rework) -> None:
        record = await self._own_job(interaction)
        assert interaction.message is not None
        request = _request_of(record)
        if number >= min(len(interaction.message.attachments), len(request.shown)):
            raise UserError(_GONE)
        await interaction.response.defer(thinking=True)
        source = await downloaded(interaction.message.attachments[number])
        changed = replace(
            of_picture(request, number),
            seed=fresh_seed(),
            denoise_strength=rework.denoise_strength,
            upscale_factor=request.upscale_factor * rework.upscale_factor,
        )
        await self._services.drawing.draw_again(interaction, changed, source)

    async def _draw(self, interaction: discord.Interaction, request: DrawRequest) -> None:
        await interaction.response.defer(thinking=True)
        await self._services.drawing.draw_again(interaction, request)


def moved_strength(strength: float, difference: float) -> float | None:
    """A style strength in percent moved by ``difference``, never the other way; ``None`` where it cannot go on."""
    low, high = _STRENGTH_RANGE
    moved = min(high, strength + difference) if difference > 0 else max(low, strength + difference)
    return moved if (moved - strength) * difference > 0 else None


def _request_of(record: JobRecord) -> DrawRequest:
    """The request of a job, without the notes of its reply."""
    return replace(DrawRequest.from_json(record.request), notes=())


def _whole(record: JobRecord) -> DrawRequest:
    """The request of a job as a picture that starts from noise: a picture that it may have started from is not kept."""
    return replace(_request_of(record), denoise_strength=1.0, upscale_factor=1.0, not_shown=())


def _rework_options(count: int) -> list[discord.SelectOption]:
    return [
        discord.SelectOption(
            label=gettext("{what}: picture {number}", what=gettext(rework.label), number=number + 1),
            value=f"{kind}:{number}",
        )
        for number in range(min(count, 8))
        for kind, rework in REWORKS.items()
    ]
