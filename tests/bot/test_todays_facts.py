"""Buttons, forms and shares go by what holds when they are used, not by what held when the picture was asked for."""

from __future__ import annotations

import threading
from pathlib import Path

import discord
import pytest
import simcord

from bot.app import PhotoMakerBot
from bot.cogs.options import person_in
from bot.domain.identity_names import IdentityNameError, checked_name
from bot.services import memberships
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.server import Server, drawn, drawn_into_dm, says, settings, upload


@pytest.fixture
def members_are_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memberships, "REMEMBERED_S", 0.0)


@pytest.fixture
async def picture_in_dm(server: Server, hold: threading.Event, monkeypatch: pytest.MonkeyPatch) -> discord.Message:
    """A picture of ada's that was asked for on the server and came as a direct message, with its buttons."""
    await server.add(server.ada, "newton")
    await server.ada.slash(server.channel, "imagine", prompt="a man img in the sea")
    await drawn_into_dm(server, hold, monkeypatch)
    return server.ada.user.dm_channel.history()[-1]


async def clicked_in_dm(server: Server, message: discord.Message, label: str) -> str:
    result = await server.ada.user.click(message, label=label)
    await server.quiet()
    assert result.response is not None
    return result.response.content


@pytest.mark.usefixtures("members_are_asked_anew")
async def test_a_click_in_a_dm_goes_by_the_rules_of_the_server(
    server: Server, chief: simcord.MemberActor, picture_in_dm: discord.Message
) -> None:
    assert "seed" in await clicked_in_dm(server, picture_in_dm, "Again")
    await server.command(chief, "admin word", word="sea")
    assert "“sea” is not allowed" in await clicked_in_dm(server, picture_in_dm, "Again")
    await server.command(chief, "admin word", word="sea")
    await server.command(chief, "admin pause")
    assert "paused on this server" in await clicked_in_dm(server, picture_in_dm, "Again")
    await server.command(chief, "admin resume")
    await server.command(chief, "admin channels", channel=server.channel)
    assert "Drawing is allowed in" in await clicked_in_dm(server, picture_in_dm, "Again")


@pytest.mark.usefixtures("members_are_asked_anew")
async def test_a_click_in_a_dm_draws_nothing_for_who_left_the_server(
    server: Server, picture_in_dm: discord.Message
) -> None:
    server.env.guild.remove_member(server.ada)
    assert "not on the server any more" in await clicked_in_dm(server, picture_in_dm, "Again")
    shown = await server.ada.user.click(picture_in_dm, label="Change")
    result = await server.ada.user.submit_modal(shown, {"prompt": "a man img", "negative": "", "seed": ""})
    assert result.response is not None
    assert "not on the server any more" in result.response.content


@pytest.mark.usefixtures("members_are_asked_anew")
async def test_a_click_in_a_dm_waits_for_discord_to_answer(server: Server, picture_in_dm: discord.Message) -> None:
    path = f"/guilds/{server.env.guild.id}/members/{server.ada.id}"
    for _ in range(5):
        server.env.inject_error("GET", path, status=403, code=50001)
    assert "not on the server any more" in await clicked_in_dm(server, picture_in_dm, "Again")


@pytest.mark.parametrize("label", ["Again", "More style", "Vary a little"])
@pytest.mark.parametrize("command", ["identity unshare", "identity delete"])
async def test_buttons_are_refused_once_a_share_is_taken_back(server: Server, label: str, command: str) -> None:
    await server.add(server.ada, "newton")
    await server.command(server.ada, "identity share", name="newton", member=server.bob)
    picture = await server.command(server.bob, "imagine", prompt="a man img", identity="newton")
    await server.command(server.ada, command, name="newton")
    result = await server.bob.click(picture, label=label)
    await server.quiet()
    assert result.response is not None
    assert "cannot be drawn here any more" in result.response.content
    assert result.response.attachments == []


@pytest.mark.usefixtures("members_are_asked_anew")
async def test_a_share_with_a_server_ends_when_its_owner_leaves(server: Server) -> None:
    await server.add(server.ada, "newton")
    await server.command(server.ada, "identity share", name="newton")
    picture = await server.command(server.bob, "imagine", prompt="a man img", identity="newton")
    assert len(picture.attachments) == 1
    server.env.guild.remove_member(server.ada)
    gone = await server.command(server.bob, "imagine", prompt="a man img", identity="newton")
    assert "no identity called “newton”" in gone.content
    again = await server.bob.click(picture, label="Again")
    assert again.response is not None
    assert "cannot be drawn here any more" in again.response.content


@pytest.mark.usefixtures("members_are_asked_anew")
async def test_somebody_elses_identity_of_that_name_is_drawn_where_the_first_owner_left(
    server: Server, chief: simcord.MemberActor
) -> None:
    for member, seed in ((server.ada, 1), (chief, 2)):
        await server.add(member, "newton", upload(seed))
        await server.command(member, "identity share", name="newton")
    server.env.guild.remove_member(server.ada)
    assert len((await server.command(server.bob, "imagine", prompt="a man img", identity="newton")).attachments) == 1


@pytest.mark.usefixtures("members_are_asked_anew")
async def test_an_outage_takes_no_share_away(server: Server) -> None:
    await server.add(server.ada, "newton")
    await server.command(server.ada, "identity share", name="newton")
    path = f"/guilds/{server.env.guild.id}/members/{server.ada.id}"
    for _ in range(5):
        server.env.inject_error("GET", path, status=400, code=0)
    drawn_ = await server.command(server.bob, "imagine", prompt="a man img", identity="newton")
    assert len(drawn_.attachments) == 1


async def test_members_are_asked_for_once_a_minute(server: Server) -> None:
    await server.add(server.ada, "newton")
    await server.command(server.ada, "identity share", name="newton")
    for _ in range(3):
        await server.command(server.bob, "imagine", prompt="a man img", identity="newton")
    path = f"/guilds/{server.env.guild.id}/members/{server.ada.id}"
    assert sum(one.path == path for one in server.env.http_requests) == 1


async def test_no_name_draws_somebody_else(server: Server) -> None:
    await server.add(server.ada, "newton")
    await server.command(server.ada, "identity share", name="newton")
    await server.add(server.bob, "shared:1", upload(7))
    reply = await server.command(server.bob, "imagine", prompt="a man img", identity="shared:1")
    assert "**shared:1**" in reply.content
    (choice,) = await server.bob.autocomplete(server.channel, "imagine", "identity", "newton")
    assert person_in(choice["value"]) == 1
    with pytest.raises(IdentityNameError):
        checked_name(choice["value"])
    renamed = await server.command(server.bob, "identity rename", name="shared:1", new_name=choice["value"])
    assert "characters long" in renamed.content


async def test_a_long_negative_prompt_of_an_older_bot_still_opens_its_form(server: Server) -> None:
    first = await drawn(server, negative="x" * 1000)
    shown = await server.ada.click(first, label="Change")
    result = await server.ada.submit_modal(shown, {"prompt": "a tree", "negative": "", "seed": "1"})
    assert "who is in the picture" in says(result)


@pytest.mark.usefixtures("members_are_asked_anew")
@pytest.mark.parametrize("ending", ["unshare", "owner leaves", "member leaves"])
async def test_a_waiting_job_is_not_drawn_once_its_person_is_not_shared_any_more(
    server: Server, hold: threading.Event, tmp_path: Path, tiny_model: PhotoMaker, ending: str
) -> None:
    await server.restart(PhotoMakerBot(settings(tmp_path, max_batch=1), load=lambda: tiny_model))
    await server.bot.resumed.wait()
    await server.add(server.ada, "newton")
    await server.command(server.ada, "identity share", name="newton")
    await server.ada.slash(server.channel, "imagine", prompt="a man img", steps=5)
    waiting = await server.bob.slash(server.channel, "imagine", prompt="a man img", identity="newton")
    if ending == "unshare":
        await server.ada.slash(server.channel, "identity unshare", name="newton")
    else:
        server.env.guild.remove_member(server.ada if ending == "owner leaves" else server.bob)
    hold.set()
    await server.quiet()
    assert waiting.response is not None
    assert "cannot be drawn here any more" in waiting.response.content
    assert waiting.response.attachments == []
