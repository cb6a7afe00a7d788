"""/identity ask as members: the one who is asked uploads and lends themself, refuses, ignores, or wants no requests."""

from __future__ import annotations

from pathlib import Path

import discord
import simcord

from bot.domain.consent import CONSENT_VERSION, MINE, SENTENCES
from storage.identity_requests import MOST_A_DAY
from tests.support.server import FICTION, Server, click, rows, submit, upload

LENT = {"name": "bob", "consent": [MINE], "photos": [upload(3)]}


def to(member: simcord.MemberActor) -> list[discord.Message]:
    """The direct messages to a member, oldest first."""
    return list(member.user.dm_channel.history())


async def asked(server: Server) -> discord.Message:
    """Ada asks bob; returns the message that he got."""
    told = await server.command(server.ada, "identity ask", member=server.bob)
    assert f"I asked <@{server.bob.id}> by direct message" in told.content
    return to(server.bob)[-1]


async def lend(server: Server, bob: simcord.MemberActor | simcord.UserHandle, message: discord.Message) -> str:
    shown = await bob.click(message, label="Lend my likeness")
    result = await bob.submit_modal(shown, LENT)
    await server.quiet()
    assert result.response is not None
    return result.response.content


async def test_a_member_who_is_asked_lends_themself_and_takes_it_back(server: Server, tmp_path: Path) -> None:
    message = await asked(server)
    assert f"<@{server.ada.id}> asks whether they may draw you" in message.content
    told = await lend(server, server.bob.user, message)
    assert f"You lent your likeness to <@{server.ada.id}>" in told
    assert "has lent you their likeness" in to(server.ada)[-1].content
    drawn = await server.command(server.ada, "imagine", prompt="a man img", identity="bob")
    assert len(drawn.attachments) == 1
    assert "can see and delete it" in drawn.content
    (consent,) = rows(tmp_path, "SELECT user_id, declaration, sentence, version, photos FROM consents")
    assert consent == (server.bob.id, MINE, SENTENCES[MINE], CONSENT_VERSION, 1)
    back = await server.bob.user.click(to(server.bob)[0], label="Take it back")
    await server.quiet()
    assert back.response is not None
    assert "Taken back" in to(server.bob)[0].content
    refused = await server.command(server.ada, "imagine", prompt="a man img", identity="bob")
    assert "no identity called" in refused.content


async def test_a_refusal_is_not_told_and_holds_for_a_month(server: Server) -> None:
    message = await asked(server)
    before = len(to(server.ada))
    await click(server, server.bob.user, message, "No")
    assert "You said no" in to(server.bob)[-1].content
    assert len(to(server.ada)) == before
    again = await server.command(server.ada, "identity ask", member=server.bob)
    assert "has said no" in again.content


async def test_who_does_nothing_is_not_asked_twice_and_the_request_ends(server: Server, tmp_path: Path) -> None:
    message = await asked(server)
    again = await server.command(server.ada, "identity ask", member=server.bob)
    assert "asked this member already" in again.content
    rows(tmp_path, "UPDATE identity_requests SET created_at = '2026-01-01 00:00:00.000000'")
    late = await server.bob.user.click(message, label="Lend my likeness")
    assert late.response is not None
    assert "not open any more" in late.response.content
    assert "by direct message" in (await server.command(server.ada, "identity ask", member=server.bob)).content


async def test_who_wants_no_requests_gets_none_and_is_not_saved_from_messages(server: Server) -> None:
    await click(server, server.bob.user, await asked(server), "Let nobody ask me")
    told = await server.command(server.ada, "identity ask", member=server.bob)
    assert "does not want to be asked" in told.content
    posted = await server.bob.send(server.channel, "me", attachments=[upload(4, "a.png")])
    saved = await server.ada.context_menu(server.channel, "Save as identity", posted)
    assert saved.response is not None
    assert f"<@{server.bob.id}> does not want to be added by others" in saved.response.content
    own = await server.bob.context_menu(server.channel, "Save as identity", posted)
    assert own.modal is not None
    assert "your wish not to be asked" in (await server.command(server.bob, "privacy show")).content
    await server.command(server.bob, "privacy opt-out", off=True)
    form = await server.ada.context_menu(server.channel, "Save as identity", posted)
    assert "with 1 photo" in await submit(server, form, {"name": "bob", "consent": [FICTION]})


async def test_oneself_bots_and_too_many_are_not_asked(server: Server) -> None:
    oneself = await server.command(server.ada, "identity ask", member=server.ada)
    assert "somebody other than you" in oneself.content
    guild = server.env.guild
    members = [guild.add_member(server.env.create_user(f"member{number}")) for number in range(MOST_A_DAY + 1)]
    told = [(await server.command(server.ada, "identity ask", member=one)).content for one in members]
    assert ["which is the most" in one for one in told] == [False] * MOST_A_DAY + [True]


async def test_without_direct_messages_the_request_is_posted_and_nobody_else_can_answer_it(server: Server) -> None:
    server.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    told = await server.command(server.ada, "identity ask", member=server.bob)
    assert "in this channel" in told.content
    posted = server.channel.history()[-1]
    assert f"<@{server.bob.id}>" in posted.content
    for label in ("Lend my likeness", "No", "Let nobody ask me"):
        stranger = await server.ada.click(posted, label=label)
        assert stranger.response is not None
        assert f"Only <@{server.bob.id}> can answer this" in stranger.response.content
    assert "You lent your likeness" in await lend(server, server.bob, posted)


async def test_a_request_that_reaches_nobody_does_not_count(server: Server, tmp_path: Path) -> None:
    server.env.inject_error("POST", "/channels/*/messages", status=403, code=50007, times=2)
    told = await server.command(server.ada, "identity ask", member=server.bob)
    assert "Ask them yourself" in told.content
    assert rows(tmp_path, "SELECT count(*) FROM identity_requests") == [(0,)]
    await asked(server)
