"""Forms for photos, single photos, the default, sharing, and "Save as identity", as members use them."""

from __future__ import annotations

from tests.support.server import Server, upload


async def test_a_shared_identity_is_drawn_until_it_is_taken_back(server: Server) -> None:
    await server.add(server.ada, "newton")
    nobody = await server.command(server.bob, "imagine", prompt="a man img", identity="newton")
    assert "no identity called" in nobody.content
    told = await server.command(server.ada, "identity share", name="newton", member=server.bob)
    assert f"can now be drawn by: <@{server.bob.id}>." in told.content
    assert (
        f"Shared with <@{server.bob.id}>" in (await server.command(server.ada, "identity show", name="newton")).content
    )
    (choice,) = await server.bob.autocomplete(server.channel, "imagine", "identity", "new")
    assert choice["name"] == "newton (shared)"
    drawn = await server.command(server.bob, "imagine", prompt="a man img", identity=choice["value"])
    assert len(drawn.attachments) == 1
    assert f"shared by <@{server.ada.id}>" in (await server.command(server.bob, "identity list")).content
    for command in ("identity show", "identity delete"):
        refused = await server.command(server.bob, command, name="newton")
        assert "no identity called" in refused.content
    await server.command(server.bob, "identity default", name=choice["value"])
    assert len((await server.command(server.bob, "imagine", prompt="a man img")).attachments) == 1
    await server.command(server.ada, "identity unshare", name="newton")
    assert "cannot be drawn here any more" in (await server.command(server.bob, "imagine", prompt="a man img")).content
    assert "cannot be drawn here any more" in (await server.command(server.bob, "settings")).content
    again = await server.bob.click(drawn, label="Again")
    await server.quiet()
    assert again.response is not None
    assert "cannot be drawn here any more" in again.response.content
    assert "not shared" in (await server.command(server.ada, "identity unshare", name="newton")).content


async def test_sharing_with_the_server_lets_everybody_draw_and_ones_own_comes_first(server: Server) -> None:
    await server.add(server.ada, "newton")
    assert (
        "can now be drawn by: everybody on a server."
        in (await server.command(server.ada, "identity share", name="newton")).content
    )
    shared = await server.command(server.bob, "imagine", prompt="a man img", identity="Newton", seed=1)
    await server.add(server.bob, "newton", upload(9))
    own = await server.command(server.bob, "imagine", prompt="a man img", identity="Newton", seed=1)
    assert await shared.attachments[0].read() != await own.attachments[0].read()
    own_choice, shared_choice = await server.bob.autocomplete(server.channel, "mix", "id2", "newton")
    assert own_choice["value"] == "newton"
    mixed = await server.command(server.bob, "mix", id1="newton", id2=shared_choice["value"], prompt="a man img")
    assert len(mixed.attachments) == 1
    assert (
        "other than you"
        in (await server.command(server.ada, "identity share", name="newton", member=server.ada)).content
    )


async def test_what_somebody_shared_who_has_left_is_named_to_nobody(server: Server) -> None:
    await server.add(server.ada, "newton")
    await server.command(server.ada, "identity share", name="newton")
    server.env.inject_error("GET", f"/guilds/*/members/{server.ada.id}", status=404, code=10007, times=None)
    assert await server.bob.autocomplete(server.channel, "imagine", "identity", "new") == []
    assert "newton" not in (await server.command(server.bob, "identity list")).content
    assert [one["name"] for one in await server.ada.autocomplete(server.channel, "imagine", "identity", "new")] == [
        "newton"
    ]
