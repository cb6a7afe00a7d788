"""/privacy: hand over or remove everything that is stored about the member."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from dataclasses import asdict
from datetime import datetime
from typing import Final

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot.i18n.catalogue import gettext, ngettext
from bot.presentation.removals import with_traces
from bot.services.jobs import JobService
from bot.views.persistent import PersistentView, without_listener
from photomaker_core.errors import UserError
from storage import Overview, PrivacyStore, UserData

_NOTHING: Final = "I have nothing stored about you."


class PrivacyCommands(commands.GroupCog, group_name="privacy", group_description="What I have stored about you"):
    """Commands whose answers are seen by the member only."""

    def __init__(self, store: PrivacyStore, jobs: JobService) -> None:
        super().__init__()
        self._store, self._jobs = store, jobs

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
            content=gettext("Everything I have stored about you: {what}.", what=_summary(stored)),
            attachments=[discord.File(io.BytesIO(archive), "my-data.zip")],
        )

    @app_commands.command(description="Delete everything I have stored about you, for good")
    async def delete(self, interaction: discord.Interaction) -> None:
        stored = await self._overview(interaction)
        if stored is None:
            return
        await interaction.edit_original_response(
            content=gettext(
                "This deletes for good: {what}. Pictures that were posted stay where they are.", what=_summary(stored)
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


def packed(data: UserData) -> bytes:
    """A zip file: ``data.json``, the ID photos, and the pictures where they are kept. Slow: keep it off the loop."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        content = {
            "identities": [asdict(one) for one in data.identities],
            "jobs": [asdict(one) for one in data.jobs],
            "shares": {identity: [asdict(one) for one in shares] for identity, shares in data.shares.items()},
            "prompts": [asdict(one) for one in data.prompts],
            "preferences": asdict(data.preferences),
            "results": [{"job_id": one.job_id, "position": one.position, "seed": one.seed} for one in data.results],
        }
        archive.writestr("data.json", json.dumps(content, indent=2, ensure_ascii=False, default=_as_text))
        for identity, photos in data.photos.items():
            for number, photo in enumerate(photos, start=1):
                archive.writestr(f"identity-{identity}/photo-{number}.jpg", photo)
        for one in data.results:
            if one.thumbnail is not None:
                archive.writestr(f"thumbnails/{one.job_id}-{one.position + 1}.jpg", one.thumbnail)
            if one.picture is not None:
                archive.writestr(f"pictures/{one.job_id}-{one.position + 1}", one.picture)
    return buffer.getvalue()


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an export")


def _summary(stored: Overview) -> str:
    return ", ".join(
        (
            ngettext("{number} identity", "{number} identities", stored.identities),
            ngettext("{number} photo", "{number} photos", stored.photos),
            ngettext("{number} job", "{number} jobs", stored.jobs),
            ngettext("{number} prompt", "{number} prompts", stored.prompts),
        )
    )
