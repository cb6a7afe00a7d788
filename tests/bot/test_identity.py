"""/identity through Discord, as members use it."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFilter

from bot.domain.draw_request import WeightedIdentity
from photomaker_core.errors import PhotoError
from photomaker_core.images.photo_decoding import MAX_UPLOAD_BYTES
from photomaker_core.loading.photomaker import PhotoMaker
from storage import NameTakenError, NewPhoto
from tests.support import uploads
from tests.support.concurrency import TIMES, at_once
from tests.support.server import FICTION, MINE, Server, click, rows, submit, upload
from tests.support.tiny_model import NEWTON


async def test_four_photos_become_an_identity(server: Server) -> None:
    photos = [(path.name, path.read_bytes()) for path in NEWTON]
    reply = await server.add(server.ada, "newton", *photos, consent=FICTION)
    assert reply.ephemeral
    assert "Added ⁨**newton**⁩ with 4 photos" in reply.content
    assert "newton" in (await server.command(server.ada, "identity list")).content


async def test_show_gives_the_photos_back_with_the_recorded_consent(server: Server) -> None:
    await server.add(server.ada, "me", upload(1), upload(2), consent=MINE)
    reply = await server.command(server.ada, "identity show", name="me")
    assert "2 photos" in reply.content
    assert "“I am this person, and I agree that pictures of me are made from these photos”" in reply.content
    sheet = Image.open(io.BytesIO(await reply.attachments[0].read()))
    assert sheet.size == (96 * 2 + 2, 128)


async def test_rename_and_delete(server: Server) -> None:
    await server.add(server.ada, "isaac")
    renamed = await server.command(server.ada, "identity rename", name="isaac", new_name="Sir Isaac")
    assert "is now called ⁨**Sir Isaac**⁩" in renamed.content
    deleted = await server.command(server.ada, "identity delete", name="sir isaac")
    assert "Deleted ⁨**Sir Isaac**⁩ and 1 photo for good" in deleted.content
    assert "no identity yet" in (await server.command(server.ada, "identity list")).content


async def test_names_are_suggested_while_one_types(server: Server) -> None:
    for name in ("newton", "nestor", "lenna"):
        await server.add(server.ada, name)
    await server.add(server.bob, "nelson")
    for command, option in (
        ("identity show", "name"),
        ("identity rename", "name"),
        ("identity delete", "name"),
        ("imagine", "identity"),
        ("mix", "id1"),
        ("mix", "id2"),
    ):
        choices = await server.ada.autocomplete(server.channel, command, option, "NE")
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
async def test_one_bad_photo_stores_nothing(server: Server, photo: tuple[str, bytes], sentence: str) -> None:
    reply = await server.add(server.ada, "newton", upload(0, "good.jpg"), photo)
    assert sentence in reply.content
    assert reply.ephemeral
    assert "no identity yet" in (await server.command(server.ada, "identity list")).content
    assert "Added" in (await server.add(server.ada, "newton")).content


async def test_a_duplicate_name_keeps_the_first(server: Server) -> None:
    await server.add(server.ada, "Newton", upload(1), upload(2))
    assert "already have an identity called “newton”" in (await server.add(server.ada, "newton")).content
    assert "2 photos" in (await server.command(server.ada, "identity list")).content
    assert "Added" in (await server.add(server.bob, "newton")).content


@pytest.mark.parametrize(
    "name", ["🦊 fox", "👩‍🚀", "إسحاق نيوتن", "アイザック", "*bold* _name_", "O'Brien; DROP TABLE"]
)
async def test_names_in_any_script_work_everywhere(server: Server, name: str) -> None:
    assert "Added" in (await server.add(server.ada, name)).content
    assert (await server.ada.autocomplete(server.channel, "imagine", "identity", name[:2]))[0]["value"] == name
    reply = await server.command(server.ada, "imagine", prompt="a man img", identity=name)
    assert len(reply.attachments) == 1
    assert "Deleted" in (await server.command(server.ada, "identity delete", name=name)).content


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("x" * 200, "200 characters long; at most 32"),
        ("   ", "needs a name"),
        ("turn\u202eed", "invisible control characters"),
        ("line\x00", "invisible control characters"),
    ],
)
async def test_a_name_that_cannot_be_used_is_explained(server: Server, name: str, sentence: str) -> None:
    assert sentence in (await server.add(server.ada, name)).content
    await server.add(server.ada, "newton")
    renamed = await server.command(server.ada, "identity rename", name="newton", new_name=name)
    assert sentence in renamed.content
    assert "newton" in (await server.command(server.ada, "identity list")).content


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
async def test_a_member_cannot_use_anothers_identity(server: Server, command: str, options: dict[str, str]) -> None:
    await server.add(server.ada, "newton")
    await server.add(server.bob, "own")
    reply = await server.command(server.bob, command, **options)
    assert "You have no identity called “newton”" in reply.content
    assert reply.attachments == []
    assert "1 photo" in (await server.command(server.ada, "identity show", name="newton")).content


async def test_many_identities_are_listed_in_pages(server: Server) -> None:
    store = server.bot.identities.store
    for number in range(27):
        await store.add(server.ada.id, f"{number:02} {'*' * 29}", [NewPhoto(b"photo %d" % number)], MINE)
    shown = await server.command(server.ada, "identity list")
    found: list[str] = []
    for page in range(1, 4):
        assert f"Page {page} of 3" in shown.content
        assert len(shown.content) <= 2000
        found += re.findall(r"\*\*(\d\d) ", shown.content)
        if page < 3:
            await click(server, server.ada, shown, "Next")
    assert found == [f"{number:02}" for number in range(27)]
    for number in range(10, 27):
        await store.delete(server.ada.id, f"{number:02} {'*' * 29}")
    await click(server, server.ada, shown, "Back")
    assert "**09 " in shown.content
    assert "Page" not in shown.content


async def test_a_list_of_one_page_has_no_buttons(server: Server) -> None:
    await server.add(server.ada, "newton")
    reply = await server.command(server.ada, "identity list")
    assert "Page" not in reply.content
    assert reply.components == []


async def test_what_is_wrong_with_a_photo_is_said_and_it_is_kept(server: Server) -> None:
    sharp = NEWTON[0].read_bytes()
    blurred = uploads.encoded(Image.open(NEWTON[0]).convert("RGB").filter(ImageFilter.GaussianBlur(12)), "JPEG")
    reply = await server.add(server.ada, "newton", ("good.jpg", sharp), ("blurred.jpg", blurred), upload(3))
    assert "with 3 photos" in reply.content
    assert "Photo 1" not in reply.content
    assert "Photo 2 is kept, but: blurred" in reply.content
    assert "Photo 3 is kept, but: small" in reply.content
    assert "no face found" in reply.content
    assert [one.filename for one in reply.attachments] == ["seen-by-the-model.jpg"]


async def test_photos_are_added_and_removed_one_by_one(server: Server) -> None:
    await server.add(server.ada, "newton", upload(1))
    before = await server.command(server.ada, "imagine", prompt="a man img", seed=1)
    shown = await server.ada.slash(server.channel, "identity add-photos", name="newton")
    assert "has 3 photos now" in await submit(server, shown, {"consent": [FICTION], "photos": [upload(2), upload(3)]})
    shown = await server.ada.slash(server.channel, "identity add-photos", name="newton")
    assert "belongs to “newton” already" in await submit(server, shown, {"consent": [FICTION], "photos": [upload(2)]})
    shown = await server.ada.slash(server.channel, "identity add-photos", name="newton")
    assert "10 are the most" in await submit(
        server, shown, {"consent": [FICTION], "photos": [upload(n) for n in range(10, 18)]}
    )
    after = await server.command(server.ada, "imagine", prompt="a man img", seed=1)
    assert await before.attachments[0].read() != await after.attachments[0].read()

    async def remove(number: int) -> str:
        return (await server.command(server.ada, "identity remove-photo", name="newton", number=number)).content

    assert "there is no number 4" in await remove(4)
    assert "2 photos left" in await remove(1)
    assert "1 photo left" in await remove(2)
    assert "use /identity delete" in await remove(1)


async def test_a_default_is_drawn_where_nobody_is_named(server: Server) -> None:
    for name in ("newton", "lenna"):
        await server.add(server.ada, name)
    assert "newton" in (await server.command(server.ada, "identity default", name="newton")).content
    assert "newton" in (await server.command(server.ada, "imagine", prompt="a man img")).content
    assert "newton**⁩, 1 photo" in (await server.command(server.ada, "identity list")).content
    assert "your default" in (await server.command(server.ada, "identity list")).content
    assert "Person: ⁨**newton**⁩" in (await server.command(server.ada, "settings")).content
    await server.command(server.ada, "identity default")
    assert "lenna" in (await server.command(server.ada, "imagine", prompt="a man img")).content
    await server.command(server.ada, "identity default", name="newton")
    await server.command(server.ada, "identity delete", name="newton")
    assert "lenna" in (await server.command(server.ada, "imagine", prompt="a man img")).content


async def test_again_on_a_picture_of_a_deleted_person_draws_nobody_else(server: Server) -> None:
    await server.add(server.ada, "newton", upload(1))
    picture = await server.command(server.ada, "imagine", prompt="a man img", seed=1)
    await server.command(server.ada, "identity delete", name="newton")
    await server.add(server.ada, "lenna", upload(2))
    again = await server.ada.click(picture, label="Again")
    await server.quiet()
    assert again.response is not None
    assert "cannot be drawn here any more" in again.response.content
    assert again.response.attachments == []


@pytest.mark.parametrize("error", [PhotoError("No face in it."), RuntimeError("CUDA error"), MemoryError()], ids=type)
async def test_whatever_stops_the_encoding_nothing_is_stored(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(_model: PhotoMaker, _photos: object) -> None:
        raise error

    await server.add(server.ada, "lenna", upload(1))
    service = server.bot.identities
    with monkeypatch.context() as broken:
        broken.setattr(PhotoMaker, "encode_photos", failing)
        with pytest.raises(type(error)):
            await service.add(server.ada.id, "newton", [upload(2)], FICTION)
        with pytest.raises(type(error)):
            await service.add_photos(server.ada.id, "lenna", [upload(3)], FICTION)
    assert rows(tmp_path, "SELECT name FROM identities") == [("lenna",)]
    assert rows(tmp_path, "SELECT count(*) FROM id_photos") == [(1,)]
    assert "Added" in (await server.add(server.ada, "newton", upload(2))).content


async def test_an_addition_that_is_cut_off_while_the_gpu_is_busy_leaves_nothing(
    server: Server, tmp_path: Path, hold: threading.Event
) -> None:
    await server.add(server.ada, "lenna")
    await server.ada.slash(server.channel, "imagine", prompt="a man img")
    adding = asyncio.create_task(server.bot.identities.add(server.ada.id, "newton", [upload(2)], FICTION))
    await asyncio.sleep(0.5)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    hold.set()
    await server.quiet()
    assert rows(tmp_path, "SELECT name FROM identities") == [("lenna",)]
    assert "Added" in (await server.add(server.ada, "newton", upload(2))).content


async def test_twenty_additions_at_once_by_a_newcomer_are_all_right(server: Server) -> None:
    await server.bot.resumed.wait()
    service = server.bot.identities
    await at_once(service.add(server.ada.id, f"person {n}", [upload(n)], FICTION) for n in range(TIMES))
    same = await at_once(
        (service.add(server.bob.id, "newton", [upload(n)], FICTION) for n in range(TIMES)), NameTakenError
    )
    assert len(await service.store.all_of(server.ada.id)) == TIMES
    assert len(same) == 1


async def features_of_newton(server: Server) -> torch.Tensor:
    (newton,) = await server.bot.identities.store.all_of(server.ada.id)
    return await server.bot.identities.features(server.ada.id, None, [WeightedIdentity(newton.id, "newton")])


async def test_features_are_computed_once_and_drawn_without_reading_photos(server: Server, tmp_path: Path) -> None:
    await server.add(server.ada, "newton", upload(1), upload(2))
    first = await features_of_newton(server)
    rows(tmp_path, "UPDATE id_photos SET content = x'00'")
    assert torch.equal(await features_of_newton(server), first)


async def test_features_of_another_encoder_are_computed_when_they_are_wanted(server: Server, tmp_path: Path) -> None:
    await server.add(server.ada, "newton", upload(1), upload(2))
    first = await features_of_newton(server)
    rows(tmp_path, "UPDATE id_features SET fingerprint = 'another'")
    assert torch.equal(await features_of_newton(server), first)
    assert rows(tmp_path, "SELECT count(*) FROM id_features") == [(4,)]
