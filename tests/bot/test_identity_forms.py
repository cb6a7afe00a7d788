"""Tests of the forms that take photos, and of **Save as identity**."""

from __future__ import annotations

from bot.views.persistent import FORM_TIMEOUT_S
from tests.support.server import FICTION, MINE, Server, submit, upload


async def test_without_photos_a_form_takes_up_to_ten(server: Server) -> None:
    shown = await server.ada.slash(server.channel, "identity add")
    photos = [upload(number, f"{number}.jpg") for number in range(10)]
    told = await submit(server, shown, {"name": "newton", "consent": [MINE], "photos": photos})
    assert "Added ⁨**newton**⁩ with 10 photos" in told
    drawn = await server.command(server.ada, "imagine", prompt="a man img")
    assert len(drawn.attachments) == 1


async def test_photos_given_without_a_name_are_not_asked_for_again(server: Server) -> None:
    shown = await server.ada.slash(server.channel, "identity add", photo1=upload(1), photo2=upload(2))
    told = await submit(server, shown, {"name": "lenna", "consent": [FICTION]})
    assert "with 2 photos" in told


async def test_a_form_with_a_bad_photo_stores_nothing(server: Server) -> None:
    shown = await server.ada.slash(server.channel, "identity add", name="newton")
    told = await submit(
        server, shown, {"name": "newton", "consent": [MINE], "photos": [upload(1), ("notes.txt", b"no picture")]}
    )
    assert "notes.txt is not a picture" in told
    assert "no identity yet" in (await server.command(server.ada, "identity list")).content


async def test_pictures_of_a_message_are_saved_as_an_identity(server: Server) -> None:
    message = await server.bob.send(server.channel, "look", attachments=[upload(4, "a.png"), upload(5, "b.JPG")])
    shown = await server.ada.context_menu(server.channel, "Save as identity", message)
    assert "with 2 photos" in await submit(server, shown, {"name": "bob", "consent": [FICTION]})
    text = await server.bob.send(server.channel, "just words")
    refused = await server.ada.context_menu(server.channel, "Save as identity", text)
    assert refused.response is not None
    assert "no picture attached" in refused.response.content


async def test_what_is_a_picture_is_told_by_its_content_not_by_its_name(server: Server) -> None:
    files = [upload(4, "a.jfif"), upload(5, "no suffix"), ("tool.bin", b"\x7fELF" * 50), ("notes.txt", b"words")]
    message = await server.bob.send(server.channel, "look", attachments=files)
    shown = await server.ada.context_menu(server.channel, "Save as identity", message)
    assert "with 2 photos" in await submit(server, shown, {"name": "bob", "consent": [FICTION]})


async def test_pictures_of_a_forwarded_message_are_saved(server: Server) -> None:
    original = await server.bob.send(server.channel, "look", attachments=[upload(4, "a.jpg")])
    forwarded = await server.bob.forward(original, server.channel)
    shown = await server.ada.context_menu(server.channel, "Save as identity", forwarded)
    assert "with 1 photo" in await submit(server, shown, {"name": "bob", "consent": [FICTION]})


async def test_a_message_without_a_picture_is_refused_when_its_files_were_read(server: Server) -> None:
    message = await server.bob.send(server.channel, "look", attachments=[("tool.bin", b"\x7fELF" * 50)])
    shown = await server.ada.context_menu(server.channel, "Save as identity", message)
    told = await submit(server, shown, {"name": "bob", "consent": [FICTION]})
    assert "no picture attached" in told


async def test_dismissed_forms_do_not_stay_in_memory(server: Server) -> None:
    opened = server.bot._connection._view_store._modals
    shown = [await server.ada.slash(server.channel, "identity add") for _ in range(20)]
    await server.bob.slash(server.channel, "identity add")
    assert len(opened) == 2
    await submit(server, shown[-1], {"name": "newton", "consent": [MINE], "photos": [upload(1)]})
    assert len(opened) == 1
    await server.env.advance_time(FORM_TIMEOUT_S + 1)
    assert opened == {}


async def test_a_form_that_fails_is_forgotten(server: Server) -> None:
    shown = await server.ada.slash(server.channel, "identity add")
    await submit(server, shown, {"name": " ", "consent": [MINE], "photos": [upload(1)]})
    assert server.bot._connection._view_store._modals == {}
