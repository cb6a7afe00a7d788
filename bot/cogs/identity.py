"""/identity: the people that one can draw; add, list, show, change, share and delete them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from typing import Final

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.options import Suggestions, person_in
from bot.domain.consent import consent_choices, sentence_of_consent
from bot.domain.identity_names import checked_name, shown
from bot.i18n.catalogue import gettext
from bot.presentation.image_files import encode_photo_sheet
from bot.presentation.removals import with_traces
from bot.services.activity import ActivityService
from bot.services.drawing import DrawingService
from bot.services.identities import IdentityService
from bot.services.identity_requests import IdentityRequestService
from bot.views.activity_page import ActivityPage
from bot.views.identity_forms import AddForm, PhotosForm, added_reply, read_all
from bot.views.identity_pages import day_added, identity_page, photo_count
from bot.views.identity_requests import request_buttons
from photomaker_core.images.photo_decoding import load_photo
from storage import IdentityStore, NotFoundError, PhotoStore, PreferenceStore, Share, SharingStore

_PREVIEW_SIDE_PX: Final = 256


class IdentityCommands(commands.GroupCog, group_name="identity", group_description="The people you can draw"):
    """Commands about one's own identities; every answer is seen by its owner only."""

    def __init__(
        self,
        identities: IdentityService,
        drawing: DrawingService,
        suggestions: Suggestions,
        store: IdentityStore,
        photos: PhotoStore,
        sharing: SharingStore,
        preferences: PreferenceStore,
        requests: IdentityRequestService,
        activity: ActivityService,
    ) -> None:
        super().__init__()
        self._requests, self._activity = requests, activity
        self._identities, self._drawing, self._suggestions = identities, drawing, suggestions
        self._store, self._photos, self._sharing, self._preferences = store, photos, sharing, preferences

    @app_commands.command(description="Add a person; without photos, a form opens that takes up to ten")
    @app_commands.describe(
        name="What to call them, for example: newton",
        consent="Why you may use these photos; it is recorded",
        photo1="A photo that shows the face well",
        photo2="Another photo of the same person",
        photo3="Another photo of the same person",
        photo4="Another photo of the same person",
    )
    @app_commands.choices(consent=consent_choices())
    async def add(
        self,
        interaction: discord.Interaction,
        name: str | None = None,
        consent: str | None = None,
        photo1: discord.Attachment | None = None,
        photo2: discord.Attachment | None = None,
        photo3: discord.Attachment | None = None,
        photo4: discord.Attachment | None = None,
    ) -> None:
        attachments = [photo for photo in (photo1, photo2, photo3, photo4) if photo is not None]
        if not attachments or name is None or consent is None:
            await AddForm(self._identities, name, consent, attachments).open_for(interaction)
            return
        await interaction.response.defer(ephemeral=True)
        name = checked_name(name)
        uploads = await read_all(self._identities, interaction, attachments)
        added = await self._identities.add(interaction.user.id, name, uploads, consent)
        text, file = await added_reply(added)
        await interaction.edit_original_response(content=text, attachments=[file])

    @app_commands.command(name="list", description="List the people you can draw")
    async def list_(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        content, view = await identity_page(self._identities, interaction, 0)
        await interaction.edit_original_response(content=content, view=view)

    @app_commands.command(description="Show a person's photos as they are stored")
    @app_commands.describe(name="Which of your identities")
    async def show(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._store.find(interaction.user.id, name)
        photos = await self._photos.contents(info.id)
        if not photos:
            raise NotFoundError("This identity does not exist any more.")
        shares = await self._sharing.shares_of(info.id)
        sheet = await asyncio.to_thread(_contact_sheet, photos)
        await interaction.edit_original_response(
            content=gettext(
                "{name}: {photos}, added {day}. Consent: “{consent}”. Shared with {whom}.",
                name=shown(info.name),
                photos=photo_count(info),
                day=day_added(info),
                consent=sentence_of_consent(info.declaration),
                whom=_everybody(shares),
            ),
            attachments=[discord.File(io.BytesIO(sheet), "photos.jpg")],
        )

    @app_commands.command(name="add-photos", description="Add photos to a person; a form opens")
    @app_commands.describe(name="Which of your identities")
    async def add_photos(self, interaction: discord.Interaction, name: str) -> None:
        info = await self._store.find(interaction.user.id, name)
        await PhotosForm(self._identities, info).open_for(interaction)

    @app_commands.command(name="remove-photo", description="Remove one photo of a person")
    @app_commands.describe(name="Which of your identities", number="Which photo, as /identity show counts them")
    async def remove_photo(self, interaction: discord.Interaction, name: str, number: int) -> None:
        await interaction.response.defer(ephemeral=True)
        removal = await self._photos.remove(interaction.user.id, name, number)
        told = "Removed photo {number} of {name} for good; {photos} left."
        if not removal.is_final:
            told = "Removed photo {number} of {name}; {photos} left."
        info = removal.info
        content = gettext(told, number=number, name=shown(info.name), photos=photo_count(info))
        await interaction.edit_original_response(content=with_traces(content, removal.is_final))

    @app_commands.command(description="Give a person another name")
    @app_commands.describe(name="Which of your identities", new_name="The new name")
    async def rename(self, interaction: discord.Interaction, name: str, new_name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._store.rename(interaction.user.id, name, checked_name(new_name))
        await interaction.edit_original_response(
            content=gettext("{old} is now called {new}.", old=shown(name), new=shown(info.name))
        )

    @app_commands.command(description="Choose the person who is drawn where you name nobody")
    @app_commands.describe(name="Whom; left out, nobody: then it is the person you added last")
    async def default(self, interaction: discord.Interaction, name: str | None = None) -> None:
        await interaction.response.defer(ephemeral=True)
        info = None if name is None else await self._drawing.person(interaction, person_in(name))
        await self._preferences.change(interaction.user.id, identity_id=info.id if info else None)
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
        info = await self._sharing.share(interaction.user.id, name, share)
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
        info, taken = await self._sharing.unshare(interaction.user.id, name, share)
        told = "Taken back. Nobody can draw {name} through that share any more."
        if not taken:
            told = "It was not shared; {name} stays as it was."
        await interaction.edit_original_response(content=gettext(told, name=shown(info.name)))

    @app_commands.command(description="Ask a member whether you may draw them; they upload the photos themselves")
    @app_commands.describe(member="Whom to ask")
    async def ask(self, interaction: discord.Interaction, member: discord.User) -> None:
        await interaction.response.defer(ephemeral=True)
        is_direct = await self._requests.ask(interaction, member, request_buttons)
        told = gettext("I asked {member} by direct message.", member=member.mention)
        if not is_direct:
            told = gettext("I asked {member} in this channel.", member=member.mention)
        wait = gettext("They have a week to answer. If they agree, I tell you, and you find them in `/identity list`.")
        await interaction.edit_original_response(content=f"{told} {wait}")

    @app_commands.command(description="Who drew a person of yours, when and with which prompt; delete what you want")
    @app_commands.describe(name="Which of your identities")
    async def activity(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        info = await self._store.find(interaction.user.id, name)
        page = await ActivityPage.read(self._activity, interaction.user.id, info.id, 0)
        await interaction.followup.send(view=page, files=page.files, ephemeral=True)

    @app_commands.command(description="Delete a person with all stored photos")
    @app_commands.describe(name="Which of your identities")
    async def delete(self, interaction: discord.Interaction, name: str) -> None:
        await interaction.response.defer(ephemeral=True)
        removal = await self._store.delete(interaction.user.id, name)
        told = "Deleted {name} and {photos} for good." if removal.is_final else "Deleted {name} and {photos}."
        content = gettext(told, name=shown(removal.info.name), photos=photo_count(removal.info))
        await interaction.edit_original_response(content=with_traces(content, removal.is_final))

    @show.autocomplete("name")
    @add_photos.autocomplete("name")
    @remove_photo.autocomplete("name")
    @rename.autocomplete("name")
    @share.autocomplete("name")
    @unshare.autocomplete("name")
    @activity.autocomplete("name")
    @delete.autocomplete("name")
    async def _own(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await self._suggestions.own_people(interaction, current)

    @default.autocomplete("name")
    async def _people(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return await self._suggestions.people(interaction, current)


def _share(interaction: discord.Interaction, member: discord.User | None) -> Share | None:
    """The share with the member, else with the server; ``None`` where there is neither."""
    if member is not None:
        return Share("member", member.id)
    return None if interaction.guild_id is None else Share("server", interaction.guild_id)


def _everybody(shares: Sequence[Share]) -> str:
    server = gettext("everybody on a server")
    names = [f"<@{share.target_id}>" if share.kind == "member" else server for share in shares]
    return ", ".join(names) or gettext("nobody")


def _contact_sheet(photos: list[bytes]) -> bytes:
    pictures = [load_photo(content) for content in photos]
    for picture in pictures:
        picture.thumbnail((_PREVIEW_SIDE_PX, _PREVIEW_SIDE_PX))
    return encode_photo_sheet(pictures, columns=4)
