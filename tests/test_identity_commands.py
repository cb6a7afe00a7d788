"""/identity through Discord, as members use it."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from photomaker_core.images.preprocessing import MAX_UPLOAD_BYTES
from tests import uploads
from tests.conftest import NEWTON
from tests.server import FICTION, MINE, Server, upload


async def test_four_photos_become_an_identity(studio: Server) -> None:
    photos = [(path.name, path.read_bytes()) for path in NEWTON]
    reply = await studio.add(studio.ada, "newton", *photos, consent=FICTION)
    assert reply.ephemeral
    assert "Added ⁨**newton**⁩ with 4 photos" in reply.content
    assert "newton" in (await studio.command(studio.ada, "identity list")).content


async def test_show_gives_the_photos_back_with_the_recorded_consent(studio: Server) -> None:
    await studio.add(studio.ada, "me", upload(1), upload(2), consent=MINE)
    reply = await studio.command(studio.ada, "identity show", name="me")
    assert "2 photos" in reply.content
    assert "“I am this person”" in reply.content
    sheet = Image.open(io.BytesIO(await reply.attachments[0].read()))
    assert sheet.size == (96 * 2 + 2, 128)


async def test_rename_and_delete(studio: Server) -> None:
    await studio.add(studio.ada, "isaac")
    renamed = await studio.command(studio.ada, "identity rename", name="isaac", new_name="Sir Isaac")
    assert "is now called ⁨**Sir Isaac**⁩" in renamed.content
    deleted = await studio.command(studio.ada, "identity delete", name="sir isaac")
    assert "Deleted ⁨**Sir Isaac**⁩ and 1 photo for good" in deleted.content
    assert "no identity yet" in (await studio.command(studio.ada, "identity list")).content


async def test_names_are_suggested_while_one_types(studio: Server) -> None:
    for name in ("newton", "nestor", "lenna"):
        await studio.add(studio.ada, name)
    await studio.add(studio.bob, "nelson")
    for command, option in (
        ("identity show", "name"),
        ("identity rename", "name"),
        ("identity delete", "name"),
        ("imagine", "identity"),
        ("mix", "id1"),
        ("mix", "id2"),
    ):
        choices = await studio.ada.autocomplete(studio.channel, command, option, "NE")
        assert [choice["value"] for choice in choices] == ["newton", "nestor"], command


@pytest.mark.parametrize(
    ("photo", "sentence"),
    [
        (("notes.txt", b"no picture at all" * 9), "notes.txt is not a picture"),
        (("cut.jpg", uploads.photo()[:900]), "cut.jpg is damaged or cut off"),
        (("empty.jpg", b""), "empty.jpg is empty (0 bytes)"),
        (("huge.jpg", b"\xff" * (MAX_UPLOAD_BYTES + 1)), "huge.jpg is larger than 10 MB"),
        (("bomb.png", uploads.png_bomb()), "bomb.png has too many pixels"),
        (("phone.heic", uploads.heic()), "Save it as JPEG first"),
        (("dot.png", uploads.encoded(uploads.picture(8, 8), "PNG")), "only 8 x 8 pixels"),
        (upload(0, "again.jpg"), "Two of these photos are the same"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
async def test_one_bad_photo_stores_nothing(studio: Server, photo: tuple[str, bytes], sentence: str) -> None:
    reply = await studio.add(studio.ada, "newton", upload(0, "good.jpg"), photo)
    assert sentence in reply.content
    assert reply.ephemeral
    assert "no identity yet" in (await studio.command(studio.ada, "identity list")).content
    assert "Added" in (await studio.add(studio.ada, "newton")).content


async def test_a_duplicate_name_keeps_the_first(studio: Server) -> None:
    await studio.add(studio.ada, "Newton", upload(1), upload(2))
    assert "already have an identity called “newton”" in (await studio.add(studio.ada, "newton")).content
    assert "2 photos" in (await studio.command(studio.ada, "identity list")).content
    assert "Added" in (await studio.add(studio.bob, "newton")).content


@pytest.mark.parametrize(
    "name", ["🦊 fox", "👩‍🚀", "إسحاق نيوتن", "アイザック", "*bold* _name_", "O'Brien; DROP TABLE"]
)
async def test_names_in_any_script_work_everywhere(studio: Server, name: str) -> None:
    assert "Added" in (await studio.add(studio.ada, name)).content
    assert (await studio.ada.autocomplete(studio.channel, "imagine", "identity", name[:2]))[0]["value"] == name
    reply = await studio.command(studio.ada, "imagine", prompt="a man img", identity=name)
    assert len(reply.attachments) == 1
    assert "Deleted" in (await studio.command(studio.ada, "identity delete", name=name)).content


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("x" * 200, "200 characters long; at most 32"),
        ("   ", "needs a name"),
        ("turn\u202eed", "invisible control characters"),
        ("line\x00", "invisible control characters"),
    ],
)
async def test_a_name_that_cannot_be_used_is_explained(studio: Server, name: str, sentence: str) -> None:
    assert sentence in (await studio.add(studio.ada, name)).content
    await studio.add(studio.ada, "newton")
    renamed = await studio.command(studio.ada, "identity rename", name="newton", new_name=name)
    assert sentence in renamed.content
    assert "newton" in (await studio.command(studio.ada, "identity list")).content


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("identity show", {"name": "newton"}),
        ("identity rename", {"name": "newton", "new_name": "mine"}),
        ("identity delete", {"name": "newton"}),
        ("imagine", {"identity": "newton", "prompt": "a man img"}),
        ("mix", {"id1": "newton", "id2": "own", "prompt": "a man img"}),
        ("mix", {"id1": "own", "id2": "newton", "prompt": "a man img"}),
    ],
)
async def test_a_member_cannot_use_anothers_identity(studio: Server, command: str, options: dict[str, str]) -> None:
    await studio.add(studio.ada, "newton")
    await studio.add(studio.bob, "own")
    reply = await studio.command(studio.bob, command, **options)
    assert "You have no identity called “newton”" in reply.content
    assert reply.attachments == []
    assert "1 photo" in (await studio.command(studio.ada, "identity show", name="newton")).content


async def test_many_identities_are_listed_within_a_message(studio: Server) -> None:
    for number in range(27):
        await studio.add(studio.ada, f"{number} {'*' * 25}", upload(number))
    reply = await studio.command(studio.ada, "identity list")
    shown = reply.content.count("1 photo")
    assert shown > 20
    assert f"… and {27 - shown} more" in reply.content
    assert len(reply.content) <= 2000
