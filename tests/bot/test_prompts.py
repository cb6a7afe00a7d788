"""Tests of ``/prompt``."""

from __future__ import annotations

from tests.support.server import Server, drawn, says


async def test_prompts_are_kept_listed_used_and_deleted(server: Server) -> None:
    assert "keep no prompt yet" in (await server.command(server.ada, "prompt list")).content
    assert "Kept" in (await server.command(server.ada, "prompt save", name="hat", prompt="a man img in a hat")).content
    assert "Replaced" in (await server.command(server.ada, "prompt save", name="Hat", prompt="a man in a hat")).content
    assert "a man in a hat" in (await server.command(server.ada, "prompt list")).content
    assert (
        "who is in the picture" in (await server.command(server.ada, "prompt save", name="x", prompt="a tree")).content
    )
    told = await server.command(server.ada, "prompt save", name="x", prompt="a man img, (wet:-1)")
    assert "between 0 and 3; -1 is not" in told.content
    (choice,) = await server.ada.autocomplete(server.channel, "prompt use", "name", "HA")
    assert choice["value"] == "Hat"
    await server.add(server.ada, "newton")
    reply = await server.command(server.ada, "prompt use", name="hat", count=2)
    assert len(reply.attachments) == 2
    assert "no prompt called" in (await server.command(server.bob, "prompt use", name="hat")).content
    assert "no prompt called" in (await server.command(server.bob, "prompt delete", name="hat")).content
    assert "Deleted" in (await server.command(server.ada, "prompt delete", name="hat")).content


async def test_anybody_keeps_a_prompt(server: Server) -> None:
    first = await drawn(server)
    shown = await server.bob.click(first, label="Keep prompt")
    result = await server.bob.submit_modal(shown, {"name": "nice", "prompt": "a man img in the sea"})
    assert "Kept the prompt" in says(result)
    assert "in the sea" in (await server.command(server.bob, "prompt list")).content
