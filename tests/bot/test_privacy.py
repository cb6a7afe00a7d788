"""/privacy as a member: what is handed over is all, and what is deleted is gone from the files."""

from __future__ import annotations

import io
import json
import sqlite3
import threading
import zipfile
from pathlib import Path

import pytest

import storage.database
from bot.app import PhotoMakerBot
from storage import DatabaseInUseError
from tests.support import uploads
from tests.support.server import Server, rows

TABLES = ("users", "identities", "consents", "id_photos", "id_features", "jobs", "results")


def middle(photo: bytes) -> bytes:
    """Bytes that no other photo has, unlike a JPEG's tables."""
    return photo[len(photo) // 2 :][:300]


def counts(folder: Path) -> dict[str, object]:
    return {table: rows(folder, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def test_export_hands_over_everything(server: Server, tmp_path: Path) -> None:
    await server.add(server.ada, "newton", ("1.jpg", uploads.photo(1)), ("2.jpg", uploads.photo(2)))
    await server.command(server.ada, "imagine", prompt="a man img", seed=9, count=2)
    await server.add(server.bob, "lenna")
    response = await server.command(server.ada, "privacy export")
    assert response.ephemeral
    assert "1 identity, 2 photos, 1 job, 0 prompts" in response.content
    (attachment,) = response.attachments
    with zipfile.ZipFile(io.BytesIO(await attachment.read())) as archive:
        content = json.loads(archive.read("data.json"))
        photos = [archive.read(name) for name in archive.namelist() if name.startswith("identity-")]
        thumbnails = [name for name in archive.namelist() if name.startswith("thumbnails/")]
    assert photos == [row[0] for row in rows(tmp_path, "SELECT content FROM id_photos ORDER BY id LIMIT 2")]
    assert [one["name"] for one in content["identities"]] == ["newton"]
    assert content["identities"][0]["declaration"] == "Fictional person or work of art"
    assert [one["request"]["prompt"] for one in content["jobs"]] == ["a man img"]
    assert [one["seed"] for one in content["results"]] == [9, 10]
    assert len(thumbnails) == 2
    assert "token" not in json.dumps(content)


async def test_preferences_alone_are_something_too(server: Server) -> None:
    assert "nothing stored" in (await server.command(server.ada, "privacy export")).content
    await server.command(server.ada, "settings", quality="fast")
    assert (await server.command(server.ada, "privacy export")).attachments
    asked = await server.command(server.ada, "privacy delete")
    await server.ada.click(asked, label="Delete everything")
    await server.quiet()
    assert "nothing stored" in (await server.command(server.ada, "privacy export")).content


async def test_delete_asks_first_and_then_leaves_nothing(server: Server, tmp_path: Path) -> None:
    await server.add(server.bob, "lenna", ("b.jpg", uploads.photo(8)))
    before = counts(tmp_path)
    await server.add(server.ada, "newton", ("a.jpg", uploads.photo(7)))
    photo = bytes(rows(tmp_path, "SELECT content FROM id_photos ORDER BY id DESC")[0][0])  # type: ignore[arg-type]
    await server.command(server.ada, "imagine", prompt="a man img")
    asked = await server.command(server.ada, "privacy delete")
    await server.ada.click(asked, label="Keep it")
    assert "Nothing was deleted" in asked.content
    assert counts(tmp_path)["identities"] == 2
    asked = await server.command(server.ada, "privacy delete")
    await server.ada.click(asked, label="Delete everything")
    await server.quiet()
    assert "is deleted" in asked.content
    assert counts(tmp_path) == before
    files = b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))
    assert middle(photo) not in files
    assert b"newton" not in files


async def test_deleting_an_identity_takes_its_photos_out_of_the_files(server: Server, tmp_path: Path) -> None:
    await server.add(server.ada, "newton", ("a.jpg", uploads.photo(7)))
    photo = bytes(rows(tmp_path, "SELECT content FROM id_photos")[0][0])  # type: ignore[arg-type]
    assert middle(photo) in b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))
    await server.command(server.ada, "identity delete", name="newton")
    assert middle(photo) not in b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))


async def test_delete_ends_what_is_being_drawn(server: Server, tmp_path: Path, hold: threading.Event) -> None:
    await server.add(server.ada, "newton")
    running = await server.ada.slash(server.channel, "imagine", prompt="a man img", steps=100)
    asked = await server.ada.slash(server.channel, "privacy delete")
    hold.set()
    assert asked.response is not None
    await server.ada.click(asked.response, label="Delete everything")
    await server.quiet()
    assert running.response is not None
    assert running.response.content == "Cancelled."
    assert set(counts(tmp_path).values()) == {0}


async def test_somebody_unknown_has_nothing_to_get_or_delete(server: Server) -> None:
    for command in ("privacy export", "privacy delete"):
        response = await server.command(server.bob, command)
        assert response.content == "I have nothing stored about you."
        assert response.components == []


async def test_while_another_program_reads_the_database_the_truth_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.database, "SCRUB_INTERVAL_S", 0.01)
    monkeypatch.setattr(storage.database, "SCRUB_AGAIN_S", 1000)
    await server.add(server.ada, "newton", ("a.jpg", uploads.photo(7)))
    await server.add(server.ada, "lenna", ("b.jpg", uploads.photo(8)), ("c.jpg", uploads.photo(9)))
    reader = sqlite3.connect(tmp_path / "bot.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM users").fetchone()
    removed = await server.command(server.ada, "identity remove-photo", name="lenna", number=1)
    deleted = await server.command(server.ada, "identity delete", name="newton")
    asked = await server.command(server.ada, "privacy delete")
    clicked = await server.ada.click(asked, label="Delete everything")
    await server.env.settle()
    assert clicked.response is not None
    for content in (removed.content, deleted.content, clicked.response.content):
        assert "Another program is reading the database" in content
        assert "for good" not in content
    assert set(counts(tmp_path).values()) == {0}
    reader.close()


async def test_whoever_drew_a_forgotten_person_keeps_the_picture_without_the_name(
    server: Server, tmp_path: Path
) -> None:
    await server.add(server.ada, "Isaac")
    await server.command(server.ada, "identity share", name="Isaac")
    await server.command(server.bob, "imagine", prompt="a man img", identity="Isaac")
    asked = await server.command(server.ada, "privacy delete")
    await server.ada.click(asked, label="Delete everything")
    await server.quiet()
    assert b"Isaac" not in b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))
    history = await server.command(server.bob, "history")
    assert "somebody" in str(history.components)


async def test_a_second_bot_on_the_same_database_is_refused(server: Server) -> None:
    second = PhotoMakerBot(server.bot.settings)
    with pytest.raises(DatabaseInUseError, match="Another bot is running"):
        await second.open()
    await second.close()
