"""Forms for photos, single photos, the default, sharing, and "Save as identity", as members use them."""

from __future__ import annotations

import simcord
from PIL import Image, ImageFilter

from tests import uploads
from tests.conftest import NEWTON
from tests.server import FICTION, MINE, Server, upload


async def submit(studio: Server, shown: simcord.InteractionResult, values: dict[str, object]) -> str:
    """Fill in a form; returns the answer."""
    result = await studio.ada.submit_modal(shown, values)
    await studio.quiet()
    assert result.response is not None
    assert result.response.ephemeral
    return result.response.content


async def test_without_photos_a_form_takes_up_to_ten(studio: Server) -> None:
    shown = await studio.ada.slash(studio.channel, "identity add")
    photos = [upload(number, f"{number}.jpg") for number in range(10)]
    told = await submit(studio, shown, {"name": "newton", "consent": [MINE], "photos": photos})
    assert "Added ⁨**newton**⁩ with 10 photos" in told
    drawn = await studio.command(studio.ada, "imagine", prompt="a man img")
    assert len(drawn.attachments) == 1


async def test_photos_given_without_a_name_are_not_asked_for_again(studio: Server) -> None:
    shown = await studio.ada.slash(studio.channel, "identity add", photo1=upload(1), photo2=upload(2))
    told = await submit(studio, shown, {"name": "lenna", "consent": [FICTION]})
    assert "with 2 photos" in told


async def test_a_form_with_a_bad_photo_stores_nothing(studio: Server) -> None:
    shown = await studio.ada.slash(studio.channel, "identity add", name="newton")
    told = await submit(
        studio, shown, {"name": "newton", "consent": [MINE], "photos": [upload(1), ("notes.txt", b"no picture")]}
    )
    assert "notes.txt is not a picture" in told
    assert "no identity yet" in (await studio.command(studio.ada, "identity list")).content


async def test_what_is_wrong_with_a_photo_is_said_and_it_is_kept(studio: Server) -> None:
    sharp = NEWTON[0].read_bytes()
    blurred = uploads.encoded(Image.open(NEWTON[0]).convert("RGB").filter(ImageFilter.GaussianBlur(12)), "JPEG")
    reply = await studio.add(studio.ada, "newton", ("good.jpg", sharp), ("blurred.jpg", blurred), upload(3))
    assert "with 3 photos" in reply.content
    assert "Photo 1" not in reply.content
    assert "Photo 2 is kept, but: blurred" in reply.content
    assert "Photo 3 is kept, but: small" in reply.content
    assert "no face found" in reply.content
    assert [one.filename for one in reply.attachments] == ["seen-by-the-model.jpg"]


async def test_photos_are_added_and_removed_one_by_one(studio: Server) -> None:
    await studio.add(studio.ada, "newton", upload(1))
    before = await studio.command(studio.ada, "imagine", prompt="a man img", seed=1)
    shown = await studio.ada.slash(studio.channel, "identity add-photos", name="newton")
    assert "has 3 photos now" in await submit(studio, shown, {"photos": [upload(2), upload(3)]})
    shown = await studio.ada.slash(studio.channel, "identity add-photos", name="newton")
    assert "belongs to “newton” already" in await submit(studio, shown, {"photos": [upload(2)]})
    shown = await studio.ada.slash(studio.channel, "identity add-photos", name="newton")
    assert "10 are the most" in await submit(studio, shown, {"photos": [upload(n) for n in range(10, 18)]})
    after = await studio.command(studio.ada, "imagine", prompt="a man img", seed=1)
    assert await before.attachments[0].read() != await after.attachments[0].read()

    async def remove(number: int) -> str:
        return (await studio.command(studio.ada, "identity remove-photo", name="newton", number=number)).content

    assert "there is no number 4" in await remove(4)
    assert "2 photos left" in await remove(1)
    assert "1 photo left" in await remove(2)
    assert "use /identity delete" in await remove(1)


async def test_a_default_is_drawn_where_nobody_is_named(studio: Server) -> None:
    for name in ("newton", "lenna"):
        await studio.add(studio.ada, name)
    assert "newton" in (await studio.command(studio.ada, "identity default", name="newton")).content
    assert "newton" in (await studio.command(studio.ada, "imagine", prompt="a man img")).content
    assert "newton**⁩, 1 photo" in (await studio.command(studio.ada, "identity list")).content
    assert "your default" in (await studio.command(studio.ada, "identity list")).content
    assert "Person: ⁨**newton**⁩" in (await studio.command(studio.ada, "settings")).content
    await studio.command(studio.ada, "identity default")
    assert "lenna" in (await studio.command(studio.ada, "imagine", prompt="a man img")).content
    await studio.command(studio.ada, "identity default", name="newton")
    await studio.command(studio.ada, "identity delete", name="newton")
    assert "lenna" in (await studio.command(studio.ada, "imagine", prompt="a man img")).content


async def test_a_shared_identity_is_drawn_until_it_is_taken_back(studio: Server) -> None:
    await studio.add(studio.ada, "newton")
    nobody = await studio.command(studio.bob, "imagine", prompt="a man img", identity="newton")
    assert "no identity called" in nobody.content
    told = await studio.command(studio.ada, "identity share", name="newton", member=studio.bob)
    assert f"can now be drawn by: <@{studio.bob.id}>." in told.content
    assert (
        f"Shared with <@{studio.bob.id}>" in (await studio.command(studio.ada, "identity show", name="newton")).content
    )
    (choice,) = await studio.bob.autocomplete(studio.channel, "imagine", "identity", "new")
    assert choice["name"] == "newton (shared)"
    drawn = await studio.command(studio.bob, "imagine", prompt="a man img", identity=choice["value"])
    assert len(drawn.attachments) == 1
    assert f"shared by <@{studio.ada.id}>" in (await studio.command(studio.bob, "identity list")).content
    for command in ("identity show", "identity delete"):
        refused = await studio.command(studio.bob, command, name="newton")
        assert "no identity called" in refused.content
    await studio.command(studio.bob, "identity default", name=choice["value"])
    assert len((await studio.command(studio.bob, "imagine", prompt="a man img")).attachments) == 1
    await studio.command(studio.ada, "identity unshare", name="newton")
    assert "cannot be drawn here any more" in (await studio.command(studio.bob, "imagine", prompt="a man img")).content
    assert "cannot be drawn here any more" in (await studio.command(studio.bob, "settings")).content
    again = await studio.bob.click(drawn, label="Again")
    await studio.quiet()
    assert again.response is not None
    assert "does not exist any more" in again.response.content
    assert "not shared" in (await studio.command(studio.ada, "identity unshare", name="newton")).content


async def test_sharing_with_the_server_lets_everybody_draw_and_ones_own_comes_first(studio: Server) -> None:
    await studio.add(studio.ada, "newton")
    assert (
        "can now be drawn by: everybody on a server."
        in (await studio.command(studio.ada, "identity share", name="newton")).content
    )
    shared = await studio.command(studio.bob, "imagine", prompt="a man img", identity="Newton", seed=1)
    await studio.add(studio.bob, "newton", upload(9))
    own = await studio.command(studio.bob, "imagine", prompt="a man img", identity="Newton", seed=1)
    assert await shared.attachments[0].read() != await own.attachments[0].read()
    mixed = await studio.command(studio.bob, "mix", id1="newton", id2="shared:1", prompt="a man img")
    assert len(mixed.attachments) == 1
    assert (
        "other than you"
        in (await studio.command(studio.ada, "identity share", name="newton", member=studio.ada)).content
    )


async def test_pictures_of_a_message_are_saved_as_an_identity(studio: Server) -> None:
    message = await studio.bob.send(studio.channel, "look", attachments=[upload(4, "a.png"), upload(5, "b.JPG")])
    shown = await studio.ada.context_menu(studio.channel, "Save as identity", message)
    assert "with 2 photos" in await submit(studio, shown, {"name": "bob", "consent": [FICTION]})
    text = await studio.bob.send(studio.channel, "just words")
    refused = await studio.ada.context_menu(studio.channel, "Save as identity", text)
    assert refused.response is not None
    assert "no picture attached" in refused.response.content
