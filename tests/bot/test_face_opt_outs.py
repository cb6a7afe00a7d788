"""A face that its member has registered is added by nobody else, in every way that photos come in.

The faces are those of the golden photographs, paintings of one man; some tests need photos of living people, which are
no part of the repository.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.cli import main
from bot.services import face_opt_outs
from bot.services.face_opt_outs import MOST_A_DAY
from storage import IdentityInfo
from tests.support import uploads
from tests.support.server import FICTION, Server, Upload, click, rows, until, upload
from tests.support.tiny_model import NEWTON

pytest.importorskip("dlib")
pytest.importorskip("cv2")

PEOPLE = Path(os.environ.get("PHOTOS_OF_PEOPLE", Path(__file__).parents[3] / "shared" / "data" / "photos"))
REFUSED = "Somebody whom these photos show has asked that nobody else adds them. Nothing was stored."
LOCKED = "This person cannot be drawn: somebody whom the photos show has asked that nobody else adds them."


def shrunk(path: Path) -> Upload:
    photo = Image.open(path).convert("RGB")
    photo.thumbnail((400, 400))
    return path.name, uploads.encoded(photo)


def newton(number: int) -> Upload:
    return shrunk(NEWTON[number])


async def registered(server: Server, *photos: Upload) -> str:
    given = {f"photo{number}": one for number, one in enumerate(photos or (newton(0), newton(2)), start=1)}
    return (await server.command(server.ada, "privacy opt-out", **given)).content


def database_files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("bot.db*"))


async def test_nobody_else_adds_a_registered_face_in_any_way(server: Server, tmp_path: Path) -> None:
    told = await registered(server)
    assert "nobody else can add photos of it. No person of another member shows your face." in told
    refused = await server.add(server.bob, "isaac", upload(), newton(3))
    assert refused.content.startswith(REFUSED)
    assert refused.ephemeral
    assert "ada" not in refused.content
    assert str(server.ada.id) not in refused.content
    assert "Added" in (await server.add(server.bob, "drawn")).content, "other photos are taken"
    form = await server.bob.slash(server.channel, "identity add-photos", name="drawn")
    answered = await server.bob.submit_modal(form, {"consent": [FICTION], "photos": [newton(3)]})
    await server.quiet()
    assert answered.response is not None
    assert answered.response.content.startswith(REFUSED)
    message = await server.ada.send(server.channel, "me", attachments=[newton(3)])
    menu = await server.bob.context_menu(server.channel, "Save as identity", message)
    assert menu.response is not None
    assert "does not want to be added by others" in menu.response.content
    message = await server.bob.send(server.channel, "found it", attachments=[newton(3)])
    menu = await server.bob.context_menu(server.channel, "Save as identity", message)
    answered = await server.bob.submit_modal(menu, {"name": "saved", "consent": [FICTION]})
    await server.quiet()
    assert answered.response is not None
    assert answered.response.content.startswith(REFUSED)
    assert rows(tmp_path, "SELECT name FROM identities") == [("drawn",)]
    assert "Added" in (await server.add(server.ada, "myself", newton(3))).content, "the member's own photos are taken"
    assert rows(tmp_path, "SELECT count(*) FROM identity_locks") == [(0,)]


async def test_people_who_are_there_already_are_locked_until_it_is_taken_back(server: Server) -> None:
    await server.add(server.bob, "isaac", newton(3))
    await server.add(server.ada, "myself", newton(3))
    await server.add(server.bob, "drawn")
    drawn = await server.command(server.bob, "imagine", prompt="a man img", identity="isaac")
    await server.command(server.bob, "identity default", name="isaac")
    assert "1 person of another member shows your face and cannot be drawn any more." in await registered(server)
    assert "1 person of another member" in (await server.command(server.ada, "privacy show")).content
    refused = await server.command(server.bob, "imagine", prompt="a man img", identity="isaac")
    assert refused.content.startswith(LOCKED)
    preferred = await server.command(server.bob, "settings")
    assert f"Person: {LOCKED}" in preferred.content
    assert "Quality: " in preferred.content
    again = await click(server, server.bob, drawn, "Again")
    assert again.response is not None
    assert again.response.content.startswith(LOCKED)
    for member, name in ((server.bob, "drawn"), (server.ada, "myself")):
        assert (await server.command(member, "imagine", prompt="a man img", identity=name)).attachments
    assert "1 photo" in (await server.command(server.bob, "identity show", name="isaac")).content, "its owner keeps it"
    back = await server.command(server.ada, "privacy opt-out", off=True)
    assert "Your face is erased; people whom it locked are free again." in back.content
    assert (await server.command(server.bob, "imagine", prompt="a man img", identity="isaac")).attachments
    assert "Added" in (await server.add(server.bob, "isaac2", newton(0))).content


async def test_a_face_that_is_registered_while_photos_are_being_stored_locks_them(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = server.bot.identities.store
    add, going = store.add, asyncio.Event()

    async def waiting(*arguments: Any) -> IdentityInfo:
        await going.wait()
        return await add(*arguments)

    monkeypatch.setattr(store, "add", waiting)
    adding = asyncio.create_task(server.add(server.bob, "isaac", newton(3)))
    await asyncio.sleep(0.5)
    await server.bot.faces.register(server.ada.id, [newton(0), newton(2)])
    await server.bot.faces.compared(server.ada.id, 30)
    going.set()
    assert "Added" in (await adding).content
    await until(lambda: not server.bot.faces._comparing.locked())
    assert LOCKED in (await server.command(server.bob, "imagine", prompt="a man img", identity="isaac")).content


@pytest.mark.parametrize("way", ["off", "delete", "register", "remove"])
async def test_numbers_alone_are_kept_and_go_for_good(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    way: str,
) -> None:
    await registered(server, newton(0))
    stored = rows(tmp_path, "SELECT fingerprint, embedding FROM face_opt_outs")
    ((fingerprint, embedding),) = stored
    assert fingerprint == "dlib-resnet-v1"
    assert isinstance(embedding, bytes)
    assert len(embedding) == 128 * 4
    assert embedding[:64] in database_files(tmp_path), "the search finds what is there"
    assert rows(tmp_path, "SELECT count(*) FROM id_photos") == [(0,)]
    sent = newton(0)[1]
    assert sent[len(sent) // 2 :][:64] not in database_files(tmp_path)
    shown = await server.command(server.ada, "privacy show")
    assert "your face, as numbers" in shown.content
    exported = await server.command(server.ada, "privacy export")
    with zipfile.ZipFile(io.BytesIO(await exported.attachments[0].read())) as archive:
        assert json.loads(archive.read("data.json"))["face_registered_at"]
        assert all(embedding[:16] not in archive.read(name) for name in archive.namelist())
    if way == "off":
        await server.command(server.ada, "privacy opt-out", off=True)
    elif way == "delete":
        asked = await server.command(server.ada, "privacy delete")
        await click(server, server.ada, asked, "Delete everything")
    elif way == "register":
        await registered(server, newton(2))
    else:
        monkeypatch.setenv("DATABASE_URL", server.bot.settings.database_url)
        assert await asyncio.to_thread(main, ["faces", "list"]) == 0
        assert f"{server.ada.id}: registered" in capsys.readouterr().out
        assert await asyncio.to_thread(main, ["faces", "remove", str(server.ada.id)]) == 0
        assert await asyncio.to_thread(main, ["faces", "remove", str(server.ada.id)]) == 1
    assert rows(tmp_path, "SELECT count(*) FROM face_opt_outs") == [(1 if way == "register" else 0,)]
    assert embedding[:64] not in database_files(tmp_path)


async def test_a_registration_shows_one_face_of_one_person(server: Server, tmp_path: Path) -> None:
    pair = Image.new("RGB", (800, 400))
    for place, number in enumerate((1, 3)):
        pair.paste(Image.open(NEWTON[number]).convert("RGB").resize((400, 400)), (400 * place, 0))
    told = await registered(server, newton(0), ("pair.jpg", uploads.encoded(pair)))
    assert told.startswith("Photo 2 shows 2 faces that I can find; it has to be one")
    assert (await registered(server, upload())).startswith("Photo 1 shows 0 faces")
    assert rows(tmp_path, "SELECT count(*) FROM face_opt_outs") == [(0,)]
    assert rows(tmp_path, "SELECT count(*) FROM opt_outs") == [(0,)], "all or nothing"


async def test_registrations_are_few_a_day(server: Server) -> None:
    for _ in range(MOST_A_DAY):
        assert "0 faces" in await registered(server, upload())
    assert "You have registered a face 3 times today, which is the most." in await registered(server, newton(0))


async def test_without_the_extra_it_says_so_and_promises_hold(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_opt_outs, "is_installed", lambda: False)
    assert "has not installed the extra `faces`. Nothing was stored." in await registered(server, newton(0))
    assert rows(tmp_path, "SELECT count(*) FROM users") == [(0,)]
    assert "Added" in (await server.add(server.bob, "isaac", newton(3))).content
    monkeypatch.undo()
    await registered(server, newton(0))
    monkeypatch.setattr(face_opt_outs, "is_installed", lambda: False)
    assert "I cannot compare faces right now" in (await server.add(server.bob, "other")).content


async def test_a_comparison_that_was_interrupted_goes_on_after_a_restart(server: Server, tmp_path: Path) -> None:
    await server.add(server.bob, "isaac", newton(3))
    await registered(server, newton(0))
    rows(tmp_path, "DELETE FROM identity_locks")
    rows(tmp_path, "UPDATE face_opt_outs SET compared_photo_id = 0")
    await server.restart(type(server.bot)(server.bot.settings, load=server.bot.gpu._load))  # type: ignore[attr-defined]
    await server.quiet()
    face = await server.bot.faces.compared(server.ada.id, 60)
    assert face is not None
    assert (face.locked, face.is_compared) == (1, True)


@pytest.mark.skipif(not PEOPLE.is_dir(), reason="needs photos of several people")
async def test_others_are_told_apart(server: Server) -> None:
    other = shrunk(PEOPLE / "scarletthead_woman" / "scarlett_3.jpg")
    assert "do not seem to show the same person" in await registered(server, newton(0), other)
    await registered(server, newton(0))
    assert "Added" in (await server.add(server.bob, "somebody", other)).content
    mixed = (await server.add(server.ada, "mixed", newton(0), newton(2), other)).content
    assert "Photo 3 seems to show somebody else" in mixed
    assert "Photo 2 seems" not in mixed
