"""/identity: add, list, show, rename and delete the people that one can draw."""

from __future__ import annotations

import asyncio
import io
from typing import Final, Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.choosing import suggest_identities
from bot.identities import IdentityDesk
from bot.messages import counted, listing
from bot.names import checked_name, shown
from photomaker_core.errors import PhotoError
from photomaker_core.images import MAX_UPLOAD_BYTES, load_photo, tile, too_large
from storage import IdentityInfo

Declaration = Literal["I am this person", "I have their permission", "Fictional person or work of art"]
_PREVIEW_SIDE_PX: Final = 256


class IdentityCommands(commands.GroupCog, group_name="identity", group_description="The people you can draw"):
    """One's own identities; every answer is seen by its owner only."""

    def __init__(self, identities: IdentityDesk) -> None:
        super().__init__()
        self._identities = identities

    @app_commands.command(description="Add a person from one to four photos")
    @app_commands.describe(
        name="What to call them, for example: newton",
        consent="Why you may use these photos; it is recorded",
        photo1="A photo that shows the face well",
        photo2="Another photo of the same person",
        photo3="Another photo of the same person",
        photo4="Another photo of the same person",
    )
    async def add(
        self,
        interaction: discord.Interaction,
        name: str,
        consent: Declaration,
        photo1: discord.Attachment,
        photo2: discord.Attachment | None = None,
        photo3: discord.Attachment | None = None,
        photo4: discord.Attachment | None = None,
    ) -> None:
        await interaction.response.defer(ephemeral=True)
        name = checked_name(name)
        attachments = [photo for photo in (photo1, photo2, photo3, photo4) if photo is not None]
        for attachment in attachments:
            if attachment.size > MAX_UPLOAD_BYTES:
                raise PhotoError(too_large(attachment.filename))
        uploads = [(attachment.filename, await attachment.read()) for attachment in attachments]
        info = await self._identities.add(interaction.user.id, name, uploads, consent)
        await interaction.edit_original_response(
            content=(
                f"Added {shown(info.name)} with {_photos(info)}. "
                f"Try: `/imagine prompt: a person img in a red hat identity: {info.name}`"
            )
        )

    @app_commands.command(name="list", description="List the people you added")
    async def list_(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        own = await self._identities.store.all_of(interaction.user.id)
        if not own:
            await interaction.edit_original_response(content="You have no identity yet. Add one with `/identity add`.")
            return
        lines = [f"- {shown(info.name)}, {_photos(info)}, added {_day(info)}" for info in own]
        await interaction.edit_original_response(content=listing(lines))

    @app_commands.command(description="Show a person's photos as they are stored")
    @app_commands.describe(name="Which of your identities")
    async def show(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._identities.store.find(interaction.user.id, name)
        photos = [photo.content for photo in await self._identities.store.photos(info.id)]
        sheet = await asyncio.to_thread(_contact_sheet, photos)
        await interaction.edit_original_response(
            content=f"{shown(info.name)}: {_photos(info)}, added {_day(info)}. Consent: “{info.declaration}”.",
            attachments=[discord.File(io.BytesIO(sheet), "photos.jpg")],
        )

    @app_commands.command(description="Give a person another name")
    @app_commands.describe(name="Which of your identities", new_name="The new name")
    async def rename(self, interaction: discord.Interaction, name: str, new_name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._identities.store.rename(interaction.user.id, name, checked_name(new_name))
        await interaction.edit_original_response(content=f"{shown(name)} is now called {shown(info.name)}.")

    @app_commands.command(description="Delete a person with all stored photos")
    @app_commands.describe(name="Which of your identities")
    async def delete(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._identities.store.delete(interaction.user.id, name)
        await interaction.edit_original_response(content=f"Deleted {shown(info.name)} and {_photos(info)} for good.")

    @show.autocomplete("name")
    @rename.autocomplete("name")
    @delete.autocomplete("name")
    async def _names(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await suggest_identities(self._identities, interaction, current)


def _photos(info: IdentityInfo) -> str:
    return counted(info.photo_count, "photo", "photos")


def _day(info: IdentityInfo) -> str:
    return discord.utils.format_dt(info.created_at, "d")


def _contact_sheet(photos: list[bytes]) -> bytes:
    pictures = [load_photo(content) for content in photos]
    for picture in pictures:
        picture.thumbnail((_PREVIEW_SIDE_PX, _PREVIEW_SIDE_PX))
    buffer = io.BytesIO()
    tile(pictures, columns=min(4, len(pictures))).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
