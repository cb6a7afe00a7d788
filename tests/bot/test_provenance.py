"""Marks of origin: what members get carries them, and the operator's commands say what a picture carries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot import cli as bot_cli
from bot.app import PhotoMakerBot
from bot.services import delivery
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.provenance.certificates import make_certificate
from photomaker_core.provenance.inspection import inspect_picture
from photomaker_core.provenance.manifest import Validity
from photomaker_core.provenance.marking import Marking
from photomaker_core.provenance.source_type import SOURCE_TYPE
from photomaker_core.provenance.watermark import tag_of
from tests.support.faults import Faults, answer
from tests.support.server import Server, drawn, settings


@pytest.fixture
def faults(server: Server, monkeypatch: pytest.MonkeyPatch) -> Faults:
    installed = Faults()
    installed.install(monkeypatch)
    monkeypatch.setattr(delivery, "FIRST_WAIT_S", 0.01)
    return installed


async def delivered(message: object, folder: Path) -> Path:
    (file,) = message.attachments  # type: ignore[attr-defined]
    path = folder / file.filename
    path.write_bytes(await file.read())
    return path


async def test_a_delivered_picture_is_signed_and_names_its_source(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    make_certificate(tmp_path / "keys", "Example club")
    await server.restart(
        PhotoMakerBot(settings(tmp_path, provenance_certificate=tmp_path / "keys"), load=lambda: tiny_model)
    )
    message = await drawn(server)
    path = await delivered(message, tmp_path)
    found = inspect_picture(path)
    assert found.manifest.validity is Validity.VALID
    assert (found.manifest.signer, found.manifest.made_by) == ("Example club", "photomaker-bot")
    assert found.source_type == SOURCE_TYPE
    content = path.read_bytes()
    assert all(word not in content for word in (b"newton", b"man img"))


async def test_a_picture_made_smaller_for_discord_is_signed_anew(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, faults: Faults
) -> None:
    make_certificate(tmp_path / "keys", "Example club")
    await server.restart(
        PhotoMakerBot(settings(tmp_path, provenance_certificate=tmp_path / "keys"), load=lambda: tiny_model)
    )
    faults.at("PATCH", "/webhooks/*/messages/*", answer(413, 40005), saying="picture-")
    path = await delivered(await drawn(server), tmp_path)
    assert inspect_picture(path).manifest.validity is Validity.VALID


async def test_a_certificate_that_cannot_be_used_costs_the_signature_alone(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker
) -> None:
    for number, folder in enumerate((tmp_path / "nowhere", tmp_path / "expired")):
        if number:
            make_certificate(folder, "Example club", datetime.now(UTC) - timedelta(days=900))
        await server.restart(PhotoMakerBot(settings(tmp_path, provenance_certificate=folder), load=lambda: tiny_model))
        message = await server.command(server.ada, "imagine", prompt="a man img") if number else await drawn(server)
        found = inspect_picture(await delivered(message, tmp_path))
        assert found.manifest.validity is Validity.ABSENT
        assert found.source_type == SOURCE_TYPE


def test_init_makes_a_certificate_once_and_says_what_it_is_worth(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bot_cli.main(["provenance", "init", "--operator", "Example club", "--folder", "keys"]) == 0
    printed = capsys.readouterr().out
    assert "on no trust list" in printed
    assert "PROVENANCE_CERTIFICATE=keys" in printed
    assert "PRIVATE KEY" not in printed
    key = Path("keys/key.pem").read_bytes()
    assert bot_cli.main(["provenance", "init", "--operator", "Another", "--folder", "keys"]) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert Path("keys/key.pem").read_bytes() == key


def test_verify_says_what_a_picture_carries(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(here / "keys", "Example club")
    marking = Marking("photomaker-bot", tag_of("Example club"), certificate)
    picture = Image.linear_gradient("L").resize((512, 512)).convert("RGB")
    Path("drawn.png").write_bytes(marking.png(marking.marked(picture)))
    changed = bytearray(Path("drawn.png").read_bytes())
    changed[-2000] ^= 1
    Path("changed.png").write_bytes(changed)
    picture.resize((128, 128)).save("plain.jpg")
    monkeypatch.setenv("PROVENANCE_OPERATOR", "Example club")
    assert bot_cli.main(["verify", "drawn.png", "plain.jpg"]) == 0
    printed = capsys.readouterr().out
    assert "intact: signed by “Example club”, who is on no trust list known here; made by photomaker-bot" in printed
    assert "source type: trainedAlgorithmicMedia" in printed
    assert f"tag {tag_of('Example club'):08x} (Example club)" in printed
    assert printed.endswith("plain.jpg\n  C2PA manifest: none\n  source type: none\n  watermark: none found\n")
    monkeypatch.setenv("PROVENANCE_CERTIFICATE", "keys")
    assert bot_cli.main(["verify", "drawn.png"]) == 0
    assert "valid: signed with your certificate" in capsys.readouterr().out


def test_verify_is_friendly_about_what_is_no_picture(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.png").write_text("no picture")
    Path("folder").mkdir()
    Image.new("RGB", (8, 8)).save("tiny.png")
    assert bot_cli.main(["verify", "text.png", "folder", "absent.png", "tiny.png"]) == 2
    printed = capsys.readouterr()
    assert "tiny.png" in printed.out
    for sentence in ("text.png is no PNG", "folder is a folder", "There is no file absent.png"):
        assert sentence in printed.err
    assert "Traceback" not in printed.err
