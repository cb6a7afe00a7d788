"""Forms that take photos: a new person, more photos of one, and "Save as identity" on a message."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from typing import Final

import discord
from discord import app_commands, ui
from discord.ext import commands
from PIL import Image, ImageDraw, UnidentifiedImageError

from bot.domain.consent import SENTENCES, sentence_of_consent
from bot.domain.identity_names import MAX_NAME_CHARACTERS, shown
from bot.domain.member_text import code_span
from bot.i18n.catalogue import gettext, ngettext
from bot.presentation.downloads import downloaded
from bot.presentation.image_files import encode_photo_sheet
from bot.presentation.messages import MESSAGE_LIMIT, listing
from bot.services.identities import MAX_PHOTOS, AddedPhotos, IdentityService, Upload
from bot.views.persistent import PersistentForm
from photomaker_core.errors import PhotoError
from photomaker_core.images.photo_decoding import MAX_UPLOAD_BYTES, load_photo, too_large
from photomaker_core.images.photo_quality import PhotoReport, can_find_faces
from storage import IdentityInfo, IdentityRequestStore

_MODEL_SIDE_PX: Final = 224
_OTHER_KINDS: Final = ("audio/", "text/", "video/")
_PHONE_BRANDS: Final = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")


class _PhotoForm(PersistentForm):
    """A form that takes photos."""

    def __init__(self, identities: IdentityService, title: str) -> None:
        super().__init__(title)
        self._identities = identities
        self.photos: ui.FileUpload[_PhotoForm] = ui.FileUpload(custom_id="photos", min_values=1, max_values=MAX_PHOTOS)
        self.consent: ui.Select[_PhotoForm] = ui.Select(custom_id="consent")

    def _ask_for_consent(self, chosen: str | None) -> None:
        self.consent.options = [
            discord.SelectOption(label=sentence_of_consent(one), value=one, default=one == chosen) for one in SENTENCES
        ]
        self.add_item(
            ui.Label(
                text=gettext("Why may you use these photos?"),
                description=gettext("It is recorded."),
                component=self.consent,
            )
        )


class AddForm(_PhotoForm):
    """A new person; what was told already is filled in, and photos that are there are not asked for again."""

    def __init__(
        self,
        identities: IdentityService,
        name: str | None = None,
        consent: str | None = None,
        attachments: Sequence[discord.Attachment] = (),
    ) -> None:
        super().__init__(identities, gettext("Add a person"))
        self._attachments = attachments
        self.name: ui.TextInput[AddForm] = ui.TextInput(
            custom_id="name",
            default=name[:MAX_NAME_CHARACTERS] if name else None,
            max_length=MAX_NAME_CHARACTERS,
            placeholder="newton",
        )
        self.add_item(ui.Label(text=gettext("Name"), component=self.name))
        self._ask_for_consent(consent)
        if not attachments:
            self.add_item(
                ui.Label(
                    text=gettext("Photos"),
                    description=gettext("One to {most}, of one person, with the face well seen.", most=MAX_PHOTOS),
                    component=self.photos,
                )
            )

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        uploads = await self._uploads(interaction)
        added = await self._identities.add(interaction.user.id, self.name.value, uploads, self.consent.values[0])
        text, file = await added_reply(added)
        await interaction.followup.send(text, file=file, ephemeral=True)

    async def _uploads(self, interaction: discord.Interaction) -> list[Upload]:
        return await read_all(self._identities, interaction, self._attachments or self.photos.values)


class SaveForm(AddForm):
    """A new person from a message's attachments, some of which may be something else than pictures."""

    def __init__(
        self,
        identities: IdentityService,
        requests: IdentityRequestStore,
        author_id: int,
        attachments: Sequence[discord.Attachment],
    ) -> None:
        super().__init__(identities, attachments=attachments)
        self._requests, self._author_id = requests, author_id

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        await check_author(self._requests, self._author_id, interaction.user.id)
        await super().on_submit(interaction)

    async def _uploads(self, interaction: discord.Interaction) -> list[Upload]:
        return await _read_pictures(self._identities, interaction, self._attachments)


class PhotosForm(_PhotoForm):
    """More photos of somebody who is there already."""

    def __init__(self, identities: IdentityService, info: IdentityInfo) -> None:
        super().__init__(identities, gettext("Add photos"))
        self._info = info
        self._ask_for_consent(info.declaration)
        self.add_item(
            ui.Label(
                text=gettext("Photos"),
                description=gettext("Of the same person; {most} are the most in all.", most=MAX_PHOTOS),
                component=self.photos,
            )
        )

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        added = await self._identities.add_photos(
            interaction.user.id,
            self._info.id,
            await read_all(self._identities, interaction, self.photos.values),
            self.consent.values[0],
        )
        text, file = await added_reply(added)
        await interaction.followup.send(text, file=file, ephemeral=True)


async def check_author(requests: IdentityRequestStore, author_id: int, user_id: int) -> None:
    """Raise :class:`PhotoError` where a message's author wants nobody else to make a person of its pictures."""
    if author_id != user_id and await requests.has_opted_out(author_id):
        raise PhotoError("{member} does not want to be added by others.", member=f"<@{author_id}>")


class SaveAsIdentity(commands.Cog):
    """The entry "Save as identity" in the menu of a message: its pictures become a person."""

    def __init__(
        self, identities: IdentityService, requests: IdentityRequestStore, tree: app_commands.CommandTree
    ) -> None:
        self._identities, self._requests = identities, requests
        tree.add_command(app_commands.ContextMenu(name="Save as identity", callback=self._save))

    async def _save(self, interaction: discord.Interaction, message: discord.Message) -> None:
        forwarded = [one for snapshot in message.message_snapshots for one in snapshot.attachments]
        attachments = [one for one in (*message.attachments, *forwarded) if _may_be_picture(one)]
        if not attachments:
            raise PhotoError(_NO_PICTURE)
        await check_author(self._requests, message.author.id, interaction.user.id)
        await SaveForm(self._identities, self._requests, message.author.id, attachments).open_for(interaction)


_NO_PICTURE: Final = "This message has no picture attached."


def _may_be_picture(attachment: discord.Attachment) -> bool:
    """False where Discord knows that it is something else. For the rest, the content tells when the form is sent."""
    return attachment.width is not None or not (attachment.content_type or "").startswith(_OTHER_KINDS)


async def _read_pictures(
    identities: IdentityService, interaction: discord.Interaction, attachments: Sequence[discord.Attachment]
) -> list[Upload]:
    """Download attachments, and pass over those that are no pictures. Raises :class:`PhotoError` where none is one."""
    pictures: list[Upload] = []
    for attachment in attachments:
        is_declared = (attachment.content_type or "").startswith("image/")
        if attachment.size > MAX_UPLOAD_BYTES and not is_declared:
            continue
        (upload,) = await read_all(identities, interaction, [attachment])
        if is_declared or await asyncio.to_thread(_is_picture, upload[1]):
            pictures.append(upload)
    if not pictures:
        raise PhotoError(_NO_PICTURE)
    return pictures[:MAX_PHOTOS]


def _is_picture(content: bytes) -> bool:
    """True where the content, not the name, is that of a picture, be it damaged."""
    if content[4:8] == b"ftyp":
        return content[8:12] in _PHONE_BRANDS
    try:
        Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        return False
    except Exception:
        return True
    return True


async def read_all(
    identities: IdentityService, interaction: discord.Interaction, attachments: Sequence[discord.Attachment]
) -> list[Upload]:
    """Download attachments. Raises :class:`PhotoError` for one that cannot be downloaded; before downloading any, also
    for one that is too large, and :class:`~storage.LimitReachedError` where they are too many for this hour."""
    for attachment in attachments:
        if attachment.size > MAX_UPLOAD_BYTES:
            raise too_large(attachment.filename)
    await identities.uploads.take(interaction.user.id, interaction.guild_id, len(attachments))
    return [(attachment.filename, await downloaded(attachment)) for attachment in attachments]


async def added_reply(added: AddedPhotos) -> tuple[str, discord.File]:
    """The answer to an addition, with a picture of what the model sees."""
    info = added.info
    photos = ngettext("{number} photo", "{number} photos", info.photo_count)
    told = "Added {name} with {photos}." if len(added.photos) == info.photo_count else "{name} has {photos} now."
    first = gettext(told, name=shown(info.name), photos=photos)
    lines: list[str] = []
    for number, report in enumerate(added.reports, start=1):
        if report.notes:
            notes = "; ".join(gettext(note.value) for note in report.notes)
            lines.append(gettext("- Photo {number} is kept, but: {notes}.", number=number, notes=notes))
    lines += [
        gettext("- Photo {number} seems to show somebody else than the others do.", number=index + 1)
        for index in added.strangers
    ]
    last: list[str] = []
    if not can_find_faces():
        told = gettext("Faces were not looked for: the bot's operator has not installed the extra `faces`.")
        last.append(f"-# {told}")
    example = code_span(f"/imagine prompt: a person img in a red hat identity: {info.name}")
    last.append(gettext("This is what the model sees. Try: {command}", command=example))
    room = MESSAGE_LIMIT - sum(len(line) + 1 for line in (first, *last))
    content = "\n".join([first, *filter(None, [listing(lines, room)]), *last])
    sheet = await asyncio.to_thread(_seen_by_model, added.photos, added.reports)
    return content, discord.File(io.BytesIO(sheet), "seen-by-the-model.jpg")


def _seen_by_model(photos: Sequence[bytes], reports: Sequence[PhotoReport]) -> bytes:
    """The square that the ID encoder gets of each photo, with a frame around the face where one was found."""
    squares = []
    for content, report in zip(photos, reports, strict=True):
        photo = load_photo(content)
        if report.face is not None:
            ImageDraw.Draw(photo).rectangle(report.face, outline=(80, 220, 120), width=max(2, min(photo.size) // 100))
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        square = photo.crop((left, top, left + side, top + side))
        squares.append(square.resize((_MODEL_SIDE_PX, _MODEL_SIDE_PX), Image.Resampling.BICUBIC))
    return encode_photo_sheet(squares, columns=5)
