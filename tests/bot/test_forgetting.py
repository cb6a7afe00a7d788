"""What /privacy delete leaves: nothing, in the database's files, in the temporary folder, and in the logs."""

from __future__ import annotations

import io
import json
import logging
import tempfile
import zipfile
from pathlib import Path

import pytest

from bot.domain.consent import CONSENT_VERSION, FICTION, SENTENCES
from bot.tools.log_redaction import LOGGERS_OF_CONTENT, keep_content_out
from tests.support import uploads
from tests.support.server import Server, click, rows, submit, upload


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of everybody's temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def pieces(content: object) -> list[bytes]:
    """Bytes that no other picture has, unlike a JPEG's tables; the database's pages cut some of them in two."""
    assert isinstance(content, bytes)
    middle = content[len(content) // 3 : -100]
    return [middle[start : start + 64] for start in range(0, len(middle) - 64, 64)]


async def live_a_little(server: Server) -> None:
    """Ada uses everything that stores something about her; bob draws her person, and is asked by her."""
    await server.add(server.ada, "isaacname", ("seekretfile.jpg", uploads.photo(7)))
    form = await server.ada.slash(server.channel, "identity add-photos", name="isaacname")
    await submit(server, form, {"consent": [FICTION], "photos": [upload(8)]})
    await server.command(server.ada, "identity share", name="isaacname")
    await server.command(server.ada, "imagine", prompt="a man img in tealwoods", count=2, negative="magentarain")
    await server.command(server.bob, "imagine", prompt="a man img", identity="isaacname")
    await server.command(server.ada, "prompt save", name="ochrename", prompt="a man img, cyanwords")
    await server.command(server.ada, "identity ask", member=server.bob)
    await server.command(server.bob, "identity ask", member=server.ada)
    await server.command(server.ada, "privacy opt-out")


async def test_after_privacy_delete_no_byte_is_left(
    server: Server, tmp_path: Path, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in LOGGERS_OF_CONTENT:
        caplog.set_level(logging.DEBUG, logger=name)
    keep_content_out()
    await live_a_little(server)
    words = [b"isaacname", b"tealwoods", b"magentarain", b"ochrename", b"cyanwords"]
    pictures = [row[0] for row in rows(tmp_path, "SELECT content FROM id_photos")]
    pictures += [row[0] for row in rows(tmp_path, "SELECT content FROM id_features")]
    pictures += [row[0] for row in rows(tmp_path, "SELECT thumbnail FROM results WHERE job_id = 1")]
    assert len(pictures) == 6
    secrets = [*([one] for one in words), *map(pieces, pictures), [server.ada.id.to_bytes(8, "big")]]
    files = b"".join(path.read_bytes() for path in tmp_path.glob("bot.db*"))
    assert all(any(piece in files for piece in one) for one in secrets), "the search finds what is there"
    asked = await server.command(server.ada, "privacy delete")
    await click(server, server.ada, asked, "Delete everything")
    assert "is deleted" in asked.content
    places = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    said = "\n".join(f"{one.getMessage()} {one.exc_text or ''}" for one in caplog.records if is_ours(one.name))
    places["the log"] = said.encode()
    left = {
        (name, piece[:20]) for name, content in places.items() for one in secrets for piece in one if piece in content
    }
    assert left == set()
    assert [path for path in temporary.rglob("*") if path.is_file()] == []


def is_ours(logger: str) -> bool:
    """False for what the simulated Discord says: the real one is not on this machine."""
    return not logger.startswith("simcord")


async def test_consent_is_shown_and_handed_over_as_it_was_read(server: Server, tmp_path: Path) -> None:
    await live_a_little(server)
    shown = await server.command(server.ada, "privacy show")
    assert shown.ephemeral
    assert "1 identity, 2 photos, 1 job, 1 prompt, 2 requests to be drawn, your wish not to be asked" in shown.content
    assert shown.content.count(f"“{SENTENCES[FICTION]}” (version {CONSENT_VERSION})") == 2
    response = await server.command(server.ada, "privacy export")
    with zipfile.ZipFile(io.BytesIO(await response.attachments[0].read())) as archive:
        content = json.loads(archive.read("data.json"))
    assert [(one["sentence"], one["version"], one["photos"]) for one in content["consents"]] == [
        (SENTENCES[FICTION], CONSENT_VERSION, 1),
        (SENTENCES[FICTION], CONSENT_VERSION, 1),
    ]
    assert {(one["asker_id"], one["state"]) for one in content["requests"]} == {
        (server.ada.id, "asked"),
        (server.bob.id, "refused"),
    }
    assert content["opted_out_at"]
    server.locales[server.bob.id] = "de"
    await server.add(server.bob, "lenna")
    assert rows(tmp_path, "SELECT version FROM consents ORDER BY id DESC LIMIT 1") == [(CONSENT_VERSION,)]
