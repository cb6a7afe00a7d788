"""/identity activity as members: the owner sees what was drawn of their person, and deletes what they want."""

from __future__ import annotations

import json
from pathlib import Path

import simcord

from tests.support.server import Server, rows, until


async def lent(server: Server) -> simcord.ResponseMessage:
    """Bob's picture of ada's newton."""
    await server.add(server.ada, "newton")
    await server.command(server.ada, "identity share", name="newton", member=server.bob)
    (choice,) = await server.bob.autocomplete(server.channel, "imagine", "identity", "new")
    return await server.command(server.bob, "imagine", prompt="a man img in secret woods", identity=choice["value"])


async def activity(server: Server, member: simcord.MemberActor) -> simcord.ResponseMessage:
    return await server.command(member, "identity activity", name="newton")


async def test_the_owner_sees_who_drew_their_person_with_prompt_and_thumbnail(server: Server) -> None:
    drawn = await lent(server)
    page = await activity(server, server.ada)
    shown = json.dumps(page.components, ensure_ascii=False)
    assert page.ephemeral
    assert f"Drawn by <@{server.bob.id}>" in shown
    assert "secret woods" in shown
    assert str(drawn.id) in shown
    assert [one.filename.startswith("thumbnail-") for one in page.attachments] == [True]


async def test_the_owner_deletes_a_picture_with_its_message_and_all_that_is_stored(
    server: Server, tmp_path: Path
) -> None:
    drawn = await lent(server)
    page = await activity(server, server.ada)
    clicked = await server.ada.click(page, label="Delete")
    await server.quiet()
    assert drawn.id not in [one.id for one in server.channel.history()]
    assert b"secret woods" not in b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))
    assert rows(tmp_path, "SELECT thumbnail, picture FROM results") == [(None, None)]
    assert rows(tmp_path, "SELECT count(*) FROM job_identities") == [(0,)]
    assert "Nobody has drawn this person yet" in json.dumps(page.components)
    assert "The picture is deleted" in str([one.content for one in clicked.followups])
    assert "no pictures yet" in json.dumps((await server.command(server.bob, "history")).components)


async def test_where_the_bot_may_not_delete_the_message_that_is_said(server: Server) -> None:
    drawn = await lent(server)
    page = await activity(server, server.ada)
    server.env.inject_error("DELETE", f"/channels/*/messages/{drawn.id}", status=403, code=50013)
    clicked = await server.ada.click(page, label="Delete")
    await server.quiet()
    assert "may not delete its message" in str([one.content for one in clicked.followups])


async def test_while_discord_does_not_answer_all_stays_as_it_was(server: Server, tmp_path: Path) -> None:
    drawn = await lent(server)
    page = await activity(server, server.ada)
    server.env.inject_error("DELETE", f"/channels/*/messages/{drawn.id}", status=400, times=None)
    clicked = await server.ada.click(page, label="Delete")
    await until(lambda: clicked.followups)
    assert "try again in a minute" in str([one.content for one in clicked.followups])
    assert rows(tmp_path, "SELECT count(*) FROM job_identities") == [(1,)]


async def test_pages_turn_and_one_picture_is_found_once(server: Server) -> None:
    await server.add(server.ada, "newton")
    for seed in range(5):
        await server.command(server.ada, "imagine", prompt="a man img", seed=seed)
    page = await activity(server, server.ada)
    assert len(page.attachments) == 4
    turned = await server.ada.click(page, label="Older")
    assert turned.response is not None
    assert len(page.attachments) == 1
    deleted = await server.ada.click(page, label="Delete")
    await server.quiet()
    assert deleted.followups
    assert "There are no older pictures" in json.dumps(page.components)


async def test_only_the_owner_sees_it(server: Server) -> None:
    await lent(server)
    refused = await activity(server, server.bob)
    assert "no identity called" in refused.content
