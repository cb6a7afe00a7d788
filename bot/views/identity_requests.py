"""The buttons and the form by which a member answers a request to be drawn. Their ids name the request: they work
after a restart."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Final, Protocol, cast

import discord
from discord import ui

from bot.domain.consent import MINE, sentence_of_consent
from bot.domain.identity_names import MAX_NAME_CHARACTERS
from bot.i18n.catalogue import answer_in_language_of, gettext
from bot.presentation.errors import say, sentence_for
from bot.services.identities import MAX_PHOTOS, IdentityService
from bot.services.identity_requests import IdentityRequestService
from bot.views.identity_forms import added_reply, read_all
from bot.views.persistent import PersistentForm, without_listener
from photomaker_core.errors import UserError
from storage import RequestInfo

ACCEPT: Final = "accept"
REFUSE: Final = "refuse"
NEVER: Final = "never"
TAKE_BACK: Final = "back"


def request_buttons(request: RequestInfo) -> ui.View:
    """The answers to a request."""
    view = ui.View(timeout=None)
    view.add_item(RequestButton(gettext("Lend my likeness"), ACCEPT, request.id, discord.ButtonStyle.primary))
    view.add_item(RequestButton(gettext("No"), REFUSE, request.id))
    view.add_item(RequestButton(gettext("Let nobody ask me"), NEVER, request.id))
    return without_listener(view)


class _HasRequests(Protocol):
    """The part of a click's client that the buttons need."""

    identities: IdentityService
    identity_requests: IdentityRequestService


class RequestButton(
    ui.DynamicItem[ui.Button[Any]], template=r"photomaker:request:(?P<answer>accept|refuse|never|back):(?P<id>\d{1,18})"
):
    """One answer, for the member who was asked alone."""

    def __init__(
        self, label: str, answer: str, request_id: int, style: discord.ButtonStyle = discord.ButtonStyle.secondary
    ) -> None:
        super().__init__(ui.Button(label=label, style=style, custom_id=f"photomaker:request:{answer}:{request_id}"))
        self._answer, self._request_id = answer, request_id

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, item: ui.Item[Any], match: re.Match[str], /
    ) -> RequestButton:
        return cls(item.label or "" if isinstance(item, ui.Button) else "", match["answer"], int(match["id"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        answer_in_language_of(interaction)
        try:
            await self._respond(interaction, cast("_HasRequests", interaction.client))
        except Exception as error:
            await say(interaction, sentence_for(error, "the answer to a request to be drawn"))

    async def _respond(self, interaction: discord.Interaction, client: _HasRequests) -> None:
        store, me = client.identity_requests.store, interaction.user.id
        request = await store.find(self._request_id)
        if request is not None and request.member_id != me:
            raise UserError("Only {member} can answer this.", member=f"<@{request.member_id}>")
        if self._answer == TAKE_BACK:
            request = await store.take_back(self._request_id, me)
            told = gettext(
                "Taken back: {asker} cannot draw you through this any more. Your photos are still yours; "
                "`/identity delete` removes them.",
                asker=f"<@{request.asker_id}>",
            )
            await interaction.response.edit_message(content=told, view=None)
            return
        request = await store.open(self._request_id, me)
        if self._answer == ACCEPT:
            await LendForm(client.identities, client.identity_requests, request, interaction).open_for(interaction)
            return
        if self._answer == NEVER:
            await store.opt_out(me)
            told = gettext("Nobody can ask you any more. `/privacy opt-out off: True` changes that.")
        else:
            await store.refuse(self._request_id, me)
            told = gettext("You said no. They are not told, and cannot ask you again for a month.")
        await interaction.response.edit_message(content=told, view=None)


class LendForm(PersistentForm):
    """The photos of the member themself, who lends them with the same answer."""

    def __init__(
        self,
        identities: IdentityService,
        requests: IdentityRequestService,
        request: RequestInfo,
        interaction: discord.Interaction,
    ) -> None:
        super().__init__(gettext("Lend my likeness"))
        self._identities, self._requests, self._request = identities, requests, request
        self._message = interaction.message
        self.name: ui.TextInput[LendForm] = ui.TextInput(
            custom_id="name",
            default=interaction.user.display_name[:MAX_NAME_CHARACTERS],
            max_length=MAX_NAME_CHARACTERS,
        )
        self.consent: ui.Select[LendForm] = ui.Select(
            custom_id="consent", options=[discord.SelectOption(label=sentence_of_consent(MINE), value=MINE)]
        )
        self.photos: ui.FileUpload[LendForm] = ui.FileUpload(custom_id="photos", min_values=1, max_values=MAX_PHOTOS)
        for text, description, field in (
            (gettext("What to call you"), gettext("Whoever draws you sees this name."), self.name),
            (gettext("Do you agree?"), gettext("It is recorded."), self.consent),
            (gettext("Photos"), gettext("One to {most}, with your face well seen.", most=MAX_PHOTOS), self.photos),
        ):
            self.add_item(ui.Label(text=text, description=description, component=field))

    async def on_submit(self, interaction: discord.Interaction, /) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        me = interaction.user.id
        await self._requests.store.open(self._request.id, me)
        uploads = await read_all(self._identities, interaction, self.photos.values)
        added = await self._identities.add(me, self.name.value, uploads, self.consent.values[0])
        request = await self._requests.lend(self._request.id, me, added.info)
        lent = gettext("You lent your likeness to {asker}.", asker=f"<@{request.asker_id}>")
        text, file = await added_reply(added)
        await interaction.followup.send(f"{lent}\n{text}", file=file, ephemeral=True)
        if self._message is not None:
            view = ui.View(timeout=None)
            view.add_item(RequestButton(gettext("Take it back"), TAKE_BACK, request.id))
            with contextlib.suppress(discord.HTTPException):
                await self._message.edit(content=lent, view=without_listener(view))
