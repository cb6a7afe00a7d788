"""/identity: the people that one can draw; add, list, show, change, share and delete them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from typing import Final

import discord
from discord import app_commands
from discord.ext import commands

from bot.domain.identity_names import checked_name, shown
from bot.i18n.catalogue import gettext, ngettext
from bot.presentation.image_files import encode_photo_sheet
from bot.presentation.messages import listing
from bot.services.drawing import DrawingService, suggest_own
from bot.views.identity_forms import AddForm, Declaration, PhotosForm, added_reply, read_all
from photomaker_core.images.photo_decoding import load_photo
from storage import IdentityInfo, Share

_PREVIEW_SIDE_PX: Final = 256


class IdentityCommands(commands.GroupCog, group_name="identity", group_description="The people you can draw"):
    """One's own identities; every answer is seen by its owner only."""

    def __init__(self, drawing: DrawingService) -> None:
        super().__init__()
        self._drawing, self._identities = drawing, drawing.identities

    @app_commands.command(description="Add a person; without photos, a form opens that takes up to ten")
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
        name: str | None = None,
        consent: Declaration | None = None,
        photo1: discord.Attachment | None = None,
        photo2: discord.Attachment | None = None,
        photo3: discord.Attachment | None = None,
        photo4: discord.Attachment | None = None,
    ) -> None:
        attachments = [photo for photo in (photo1, photo2, photo3, photo4) if photo is not None]
        if not attachments or name is None or consent is None:
            await interaction.response.send_modal(AddForm(self._identities, name, consent, attachments))
            return
        await interaction.response.defer(ephemeral=True)
        name = checked_name(name)
        added = await self._identities.add(interaction.user.id, name, await read_all(attachments), consent)
        text, file = await added_reply(added)
        await interaction.edit_original_response(content=text, attachments=[file])

    @app_commands.command(name="list", description="List the people you can draw")
    async def list_(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        own = await self._identities.store.all_of(interaction.user.id)
        shared = await self._identities.store.shared_with(interaction.user.id, interaction.guild_id)
        default = (await self._identities.preferences.of(interaction.user.id)).identity_id
        lines = [
            gettext("- {name}, {photos}, added {day}", name=shown(info.name), photos=_photos(info), day=_day(info))
            + _default_mark(info, default)
            for info in own
        ]
        lines += [
            gettext("- {name}, shared by {owner}", name=shown(info.name), owner=f"<@{info.owner_id}>")
            + _default_mark(info, default)
            for info in shared
        ]
        if not lines:
            lines = [gettext("You have no identity yet. Add one with `/identity add`.")]
        await interaction.edit_original_response(content=listing(lines))

    @app_commands.command(description="Show a person's photos as they are stored")
    @app_commands.describe(name="Which of your identities")
    async def show(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._identities.store.find(interaction.user.id, name)
        photos = [photo.content for photo in await self._identities.store.photos(info.id)]
        shares = await self._identities.sharing.shares_of(info.id)
        sheet = await asyncio.to_thread(_contact_sheet, photos)
        await interaction.edit_original_response(
            content=gettext(
                "{name}: {photos}, added {day}. Consent: “{consent}”. Shared with {whom}.",
                name=shown(info.name),
                photos=_photos(info),
                day=_day(info),
                consent=gettext(info.declaration),
                whom=_everybody(shares),
            ),
            attachments=[discord.File(io.BytesIO(sheet), "photos.jpg")],
        )

    @app_commands.command(name="add-photos", description="Add photos to a person; a form opens")
    @app_commands.describe(name="Which of your identities")
    async def add_photos(self, interaction: discord.Interaction, name: str) -> None:
        info = await self._identities.store.find(interaction.user.id, name)
        await interaction.response.send_modal(PhotosForm(self._identities, info))

    @app_commands.command(name="remove-photo", description="Remove one photo of a person")
    @app_commands.describe(name="Which of your identities", number="Which photo, as /identity show counts them")
    async def remove_photo(self, interaction: discord.Interaction, name: str, number: int) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._identities.store.remove_photo(interaction.user.id, name, number)
        await interaction.edit_original_response(
            content=gettext(
                "Removed photo {number} of {name} for good; {photos} left.",
                number=number,
                name=shown(info.name),
                photos=_photos(info),
            )
        )

    @app_commands.command(description="Give a person another name")
    @app_commands.describe(name="Which of your identities", new_name="The new name")
    async def rename(self, interaction: discord.Interaction, name: str, new_name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._identities.store.rename(interaction.user.id, name, checked_name(new_name))
        await interaction.edit_original_response(
            content=gettext("{old} is now called {new}.", old=shown(name), new=shown(info.name))
        )

    @app_commands.command(description="Choose the person who is drawn where you name nobody")
    @app_commands.describe(name="Whom; left out, nobody: then it is the person you added last")
    async def default(self, interaction: discord.Interaction, name: str | None = None) -> None:
        await interaction.response.defer(ephemeral=True)
        info = None if name is None else await self._drawing.person(interaction, name)
        await self._identities.preferences.change(interaction.user.id, identity_id=info.id if info else None)
        told = gettext("The person you added last is drawn from now on where you name nobody.")
        if info:
            told = gettext("{name} is drawn from now on where you name nobody.", name=shown(info.name))
        await interaction.edit_original_response(content=told)

    @app_commands.command(description="Let a member, or everybody on this server, draw a person of yours")
    @app_commands.describe(name="Which of your identities", member="With whom; left out, with the whole server")
    async def share(self, interaction: discord.Interaction, name: str, member: discord.User | None = None) -> None:
        await interaction.response.defer(ephemeral=True)
        share = _share(interaction, member)
        if share is None or share.target_id == interaction.user.id:
            await interaction.edit_original_response(
                content=gettext("Name a member to share with, somebody other than you.")
            )
            return
        info = await self._identities.sharing.share(interaction.user.id, name, share)
        await interaction.edit_original_response(
            content=gettext(
                "{name} can now be drawn by: {whom}. They do not see the photos. "
                "Take it back with `/identity unshare`.",
                name=shown(info.name),
                whom=_everybody([share]),
            )
        )

    @app_commands.command(description="Take back what you shared")
    @app_commands.describe(name="Which of your identities", member="From whom; left out, from everybody")
    async def unshare(self, interaction: discord.Interaction, name: str, member: discord.User | None = None) -> None:
        await interaction.response.defer(ephemeral=True)
        share = None if member is None else Share("member", member.id)
        info, taken = await self._identities.sharing.unshare(interaction.user.id, name, share)
        told = "Taken back. Nobody can draw {name} through that share any more."
        if not taken:
            told = "It was not shared; {name} stays as it was."
        await interaction.edit_original_response(content=gettext(told, name=shown(info.name)))

    @app_commands.command(description="Delete a person with all stored photos")
    @app_commands.describe(name="Which of your identities")
    async def delete(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._identities.store.delete(interaction.user.id, name)
        await interaction.edit_original_response(
            content=gettext("Deleted {name} and {photos} for good.", name=shown(info.name), photos=_photos(info))
        )

    @show.autocomplete("name")
    @add_photos.autocomplete("name")
    @remove_photo.autocomplete("name")
    @rename.autocomplete("name")
    @share.autocomplete("name")
    @unshare.autocomplete("name")
    @delete.autocomplete("name")
    async def _own(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await suggest_own(self._identities, interaction, current)

    @default.autocomplete("name")
    async def _people(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await self._drawing.suggest_people(interaction, current)


def _share(interaction: discord.Interaction, member: discord.User | None) -> Share | None:
    """What to share with: the member, else the server; ``None`` where there is neither."""
    if member is not None:
        return Share("member", member.id)
    return None if interaction.guild_id is None else Share("server", interaction.guild_id)


def _everybody(shares: Sequence[Share]) -> str:
    server = gettext("everybody on a server")
    names = [f"<@{share.target_id}>" if share.kind == "member" else server for share in shares]
    return ", ".join(names) or gettext("nobody")


def _photos(info: IdentityInfo) -> str:
    return ngettext("{number} photo", "{number} photos", info.photo_count)


def _default_mark(info: IdentityInfo, default: int | None) -> str:
    return gettext(" · your default") if info.id == default else ""


def _day(info: IdentityInfo) -> str:
    return discord.utils.format_dt(info.created_at, "d")


def _contact_sheet(photos: list[bytes]) -> bytes:
    pictures = [load_photo(content) for content in photos]
    for picture in pictures:
        picture.thumbnail((_PREVIEW_SIDE_PX, _PREVIEW_SIDE_PX))
    return encode_photo_sheet(pictures, columns=4)
