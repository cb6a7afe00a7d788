"""/privacy: hand over or remove everything that is stored about the member."""

from __future__ import annotations

import asyncio
import io
from typing import Final

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot.domain.identity_names import shown
from bot.domain.member_text import quoted
from bot.i18n.catalogue import gettext, ngettext
from bot.presentation.data_export import packed, summary
from bot.presentation.messages import listing
from bot.presentation.removals import with_traces
from bot.services.face_opt_outs import FaceOptOutService
from bot.services.identities import IdentityService
from bot.services.jobs import JobService
from bot.views.identity_forms import read_all
from bot.views.persistent import PersistentView, without_listener
from photomaker_core.errors import UserError
from storage import ConsentInfo, IdentityRequestStore, Overview, PrivacyStore, RegisteredFace, RetentionPeriods

_SHOWN_CHARACTERS: Final = 200
_COMPARISON_PATIENCE_S: Final = 600.0
"""Discord takes the answer to a command for 15 minutes."""
_NOTHING: Final = "I have nothing stored about you."


class PrivacyCommands(commands.GroupCog, group_name="privacy", group_description="What I have stored about you"):
    """Commands whose answers are seen by the member only."""

    def __init__(
        self,
        store: PrivacyStore,
        jobs: JobService,
        requests: IdentityRequestStore,
        identities: IdentityService,
        faces: FaceOptOutService,
        periods: RetentionPeriods,
    ) -> None:
        super().__init__()
        self._store, self._jobs, self._requests = store, jobs, requests
        self._identities, self._faces, self._periods = identities, faces, periods

    @app_commands.command(description="What I have stored about you, and what you consented to when")
    async def show(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        stored = await self._store.overview(interaction.user.id)
        first = gettext(_NOTHING)
        if not stored.is_empty:
            first = gettext("Stored about you: {what}.", what=summary(stored))
        lines = [first, _kept_for(self._periods)]
        if (face := await self._faces.store.find(interaction.user.id)) is not None:
            lines.append(_locked_by(face))
        lines += [_consent(one) for one in await self._store.consents(interaction.user.id)]
        await interaction.edit_original_response(content=listing(lines))

    @app_commands.command(name="opt-out", description="Let nobody ask to draw you, or add you as a person")
    @app_commands.describe(
        off="Let them again, and erase your face",
        photo1="A photo of yourself alone: then nobody can add photos of your face; only numbers are kept of it",
        photo2="Another photo of yourself, for more certainty",
        photo3="Another photo of yourself, for more certainty",
    )
    async def opt_out(
        self,
        interaction: discord.Interaction,
        off: bool = False,
        photo1: discord.Attachment | None = None,
        photo2: discord.Attachment | None = None,
        photo3: discord.Attachment | None = None,
    ) -> None:
        await interaction.response.defer(ephemeral=True)
        photos = [photo for photo in (photo1, photo2, photo3) if photo is not None]
        user_id = interaction.user.id
        if off:
            await self._requests.opt_in(user_id)
            had_face = await self._faces.store.find(user_id) is not None
            is_final = await self._faces.store.withdraw(user_id)
            told = gettext("Others can ask you again, and save pictures of your messages as a person.")
            if had_face:
                told += " " + with_traces(
                    gettext("Your face is erased; people whom it locked are free again."), is_final
                )
            await interaction.edit_original_response(content=told)
            return
        is_final = True
        if photos:
            self._faces.check_possible()
            uploads = await read_all(self._identities, interaction, photos)
            is_final = await self._faces.register(user_id, uploads)
        await self._requests.opt_out(user_id)
        told = gettext(
            "Nobody can ask you any more, or save pictures of your messages as a person. What you have lent "
            "stays lent: `/identity unshare` takes it back."
        )
        if not photos:
            await interaction.edit_original_response(content=told)
            return
        told += " " + with_traces(
            gettext("Your face is registered as numbers, without the photos: nobody else can add photos of it."),
            is_final,
        )
        wait = gettext("I am comparing it with what is stored…")
        await interaction.edit_original_response(content=f"{told} {wait}")
        face = await self._faces.compared(user_id, _COMPARISON_PATIENCE_S)
        if face is not None:
            await interaction.edit_original_response(content=f"{told} {_locked_by(face)}")

    @app_commands.command(description="Get everything I have stored about you as a file")
    async def export(self, interaction: discord.Interaction) -> None:
        stored = await self._overview(interaction)
        if stored is None:
            return
        archive = await asyncio.to_thread(packed, await self._store.everything(interaction.user.id))
        if len(archive) > interaction.filesize_limit:
            raise UserError(
                "Your data are {size:.0f} MiB, more than I may upload here. "
                "Ask the bot's operator for them, or delete some identities first.",
                size=len(archive) / 2**20,
            )
        await interaction.edit_original_response(
            content=gettext("Everything I have stored about you: {what}.", what=summary(stored)),
            attachments=[discord.File(io.BytesIO(archive), "my-data.zip")],
        )

    @app_commands.command(description="Delete everything I have stored about you, for good")
    async def delete(self, interaction: discord.Interaction) -> None:
        stored = await self._overview(interaction)
        if stored is None:
            return
        await interaction.edit_original_response(
            content=gettext(
                "This deletes for good: {what}. Pictures that were posted stay where they are.", what=summary(stored)
            ),
            view=without_listener(ConfirmView(self._store, self._jobs)),
        )

    async def _overview(self, interaction: discord.Interaction) -> Overview | None:
        """Numbers of what is stored about the member; ``None``, and said so, where that is nothing."""
        await interaction.response.defer(ephemeral=True)
        stored = await self._store.overview(interaction.user.id)
        if not stored.is_empty:
            return stored
        await interaction.edit_original_response(content=gettext(_NOTHING))
        return None


class ConfirmView(PersistentView):
    """Deletes the clicking member's data."""

    doing = "/privacy delete"

    def __init__(self, store: PrivacyStore, jobs: JobService) -> None:
        super().__init__()
        self._store, self._jobs = store, jobs

    @ui.button(label="Delete everything", style=discord.ButtonStyle.danger, custom_id="photomaker:forget")
    async def delete(self, interaction: discord.Interaction, _button: ui.Button[ConfirmView]) -> None:
        await interaction.response.defer()
        await self._jobs.cancel_all_of(interaction.user.id)
        is_final = await self._store.forget(interaction.user.id)
        content = with_traces(gettext("Everything I had stored about you is deleted."), is_final)
        await interaction.edit_original_response(content=content, view=None)

    @ui.button(label="Keep it", style=discord.ButtonStyle.secondary, custom_id="photomaker:remember")
    async def keep(self, interaction: discord.Interaction, _button: ui.Button[ConfirmView]) -> None:
        await interaction.response.edit_message(content=gettext("Nothing was deleted."), view=None)


def _locked_by(face: RegisteredFace) -> str:
    told = gettext("No person of another member shows your face.")
    if face.locked:
        told = ngettext(
            "{number} person of another member shows your face and cannot be drawn any more.",
            "{number} people of other members show your face and cannot be drawn any more.",
            face.locked,
        )
    if not face.is_compared:
        told += " " + gettext("Not everything is compared yet; `/privacy show` has the newest number.")
    return told


def _kept_for(periods: RetentionPeriods) -> str:
    return gettext(
        "After a job has ended I keep its prompt and settings {prompts}, small pictures {thumbnails}, full pictures "
        "(where I keep any) {pictures}, and that there was a job {jobs}; then I erase them by myself. The rest stays "
        "until you delete it.",
        prompts=_span(periods.prompts),
        thumbnails=_span(periods.thumbnails),
        pictures=_span(periods.pictures),
        jobs=_span(periods.jobs),
    )


def _span(days: int | None) -> str:
    return gettext("until you delete it") if days is None else ngettext("{number} day", "{number} days", days)


def _consent(one: ConsentInfo) -> str:
    return gettext(
        "- {name}, {day}: “{sentence}” (version {version})",
        name=shown(one.identity_name),
        day=discord.utils.format_dt(one.given_at, "d"),
        sentence=quoted(one.sentence or gettext(one.declaration), _SHOWN_CHARACTERS),
        version=one.version or 0,
    )
