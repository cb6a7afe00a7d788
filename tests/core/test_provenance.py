"""Marks of origin: the watermark through what happens to pictures, manifests signed, tampered and expired, files."""

from __future__ import annotations

import io
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photomaker_core.errors import PhotoError
from photomaker_core.provenance import convolutional_code
from photomaker_core.provenance.certificates import CertificateError, make_certificate, read_certificate
from photomaker_core.provenance.inspection import inspect_picture
from photomaker_core.provenance.manifest import Validity, read_manifest
from photomaker_core.provenance.marking import Marking
from photomaker_core.provenance.source_type import SOURCE_TYPE
from photomaker_core.provenance.watermark import embed, read, tag_of
from tests.support.tiny_model import NEWTON

TAG = tag_of("Example club")


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(NEWTON[0]).convert("RGB").resize((1024, 1024), Image.Resampling.LANCZOS)


@pytest.fixture(scope="module")
def marked(photo: Image.Image) -> Image.Image:
    return embed(photo, TAG)


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture,
        lambda picture: as_jpeg(picture, 70),
        lambda picture: picture.resize((512, 512), Image.Resampling.BILINEAR),
        lambda picture: picture.crop((61, 37, 61 + 922, 37 + 922)),
        lambda picture: as_jpeg(picture.crop((61, 37, 61 + 922, 37 + 922)), 70),
        lambda picture: as_jpeg(picture.resize((512, 512), Image.Resampling.LANCZOS), 80),
    ],
    ids=["unchanged", "JPEG 70", "half size", "crop of 10 %", "crop and JPEG 70", "half size and JPEG 80"],
)
def test_the_watermark_survives(marked: Image.Image, change) -> None:  # type: ignore[no-untyped-def]
    reading = read(change(marked), any_scale=False)
    assert reading is not None
    assert reading.tag == TAG


def test_the_watermark_is_found_at_an_odd_scale_after_a_crop(marked: Image.Image) -> None:
    reading = read(marked.crop((61, 37, 983, 959)).resize((571, 571), Image.Resampling.LANCZOS))
    assert reading is not None
    assert reading.tag == TAG
    assert reading.scale[0] == pytest.approx(571 / 922, rel=0.01)


def test_the_watermark_is_faint_and_deterministic(photo: Image.Image, marked: Image.Image) -> None:
    difference = np.asarray(photo, float) - np.asarray(marked, float)
    assert 10 * np.log10(255**2 / np.mean(difference**2)) >= 38
    assert embed(photo, TAG).tobytes() == marked.tobytes()


def test_an_unmarked_picture_has_no_watermark(photo: Image.Image) -> None:
    assert read(photo, any_scale=False) is None


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_picture_of_one_colour_can_be_marked_and_read(colour: int) -> None:
    plain = Image.new("RGB", (512, 512), (colour, colour, colour))
    assert read(plain, any_scale=False) is None
    reading = read(embed(plain, TAG), any_scale=False)
    assert reading is not None
    assert reading.tag == TAG


def test_a_picture_too_small_for_the_mark_stays_as_it_is() -> None:
    small = Image.effect_noise((100, 300), 40).convert("RGB")
    assert embed(small, TAG).tobytes() == small.tobytes()
    assert read(Image.new("RGB", (3, 1))) is None


def test_bits_are_corrected() -> None:
    random = np.random.default_rng(7)
    bits = random.integers(0, 2, 48).astype(np.int8)
    soft = convolutional_code.encode(bits) * 1.0
    soft[random.choice(len(soft), 16, replace=False)] *= -1
    np.testing.assert_array_equal(convolutional_code.decode(soft), bits)


def encoded(marking: Marking, picture: Image.Image, suffix: str) -> bytes:
    pixels = marking.marked(picture)
    if suffix == "png":
        return marking.png(pixels)
    return marking.jpeg(pixels, 90) if suffix == "jpg" else marking.webp(pixels, 90)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_file_says_all_that_was_put_into_it(tmp_path: Path, photo: Image.Image, suffix: str) -> None:
    certificate = make_certificate(tmp_path / "keys", "Example club")
    content = encoded(Marking("photomaker", TAG, certificate), photo.resize((512, 512)), suffix)
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(content)
    found = inspect_picture(path)
    assert found.manifest.validity is Validity.VALID
    assert (found.manifest.signer, found.manifest.made_by) == ("Example club", "photomaker")
    assert found.source_type == SOURCE_TYPE
    assert found.watermark is not None
    assert found.watermark.tag == TAG
    assert inspect_picture(path, certificate.chain).manifest.validity is Validity.TRUSTED

    changed = bytearray(content)
    changed[-len(content) // 4] ^= 1
    media_type = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}[suffix]
    assert read_manifest(bytes(changed), media_type).validity is Validity.TAMPERED


def test_a_file_without_marks_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.new("RGB", (64, 64)).save(path)
    found = inspect_picture(path)
    assert (found.manifest.validity, found.source_type, found.watermark) == (Validity.ABSENT, None, None)


def test_an_expired_certificate_costs_the_signature_and_not_the_picture(
    tmp_path: Path, photo: Image.Image, caplog: pytest.LogCaptureFixture
) -> None:
    expired = make_certificate(tmp_path, "Example club", datetime.now(UTC) - timedelta(days=900))
    with caplog.at_level(logging.ERROR):
        content = Marking("photomaker", None, expired).png(photo)
    assert "goes unsigned" in caplog.text
    assert expired.key.decode() not in caplog.text
    assert read_manifest(content, "image/png").validity is Validity.ABSENT
    assert Image.open(io.BytesIO(content)).tobytes() == photo.tobytes()


def test_a_certificate_is_never_overwritten_and_its_key_is_its_owners_alone(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "Example club")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(certificate)
    with pytest.raises(CertificateError, match="not overwritten"):
        make_certificate(tmp_path, "Example club")
    assert read_certificate(tmp_path).key == certificate.key


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "two\nlines"])
def test_a_name_that_no_certificate_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CertificateError, match="1 to 64"):
        make_certificate(tmp_path, name)


def test_broken_certificates_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"chain\.pem"):
        read_certificate(tmp_path)
    make_certificate(tmp_path / "a", "A")
    make_certificate(tmp_path / "b", "B")
    (tmp_path / "a" / "key.pem").write_bytes((tmp_path / "b" / "key.pem").read_bytes())
    with pytest.raises(CertificateError, match="not that of the certificate"):
        read_certificate(tmp_path / "a")
    (tmp_path / "b" / "key.pem").write_text("nonsense")
    with pytest.raises(CertificateError, match="in PEM"):
        read_certificate(tmp_path / "b")


def test_a_label_is_seen_and_the_picture_given_stays_as_it_was() -> None:
    plain = Image.new("RGB", (512, 256), "white")
    labelled = Marking("photomaker", label="Made by AI").marked(plain)
    assert np.asarray(labelled)[-10:, -40:].min() < 128
    assert plain.getextrema() == ((255, 255),) * 3
    assert Marking("photomaker", label="x" * 500).marked(plain).size == plain.size


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_cannot_be_inspected_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "{odd}.png"
    path.write_bytes(content)
    for bad in (path, tmp_path, tmp_path / "absent.png"):
        with pytest.raises(PhotoError):
            inspect_picture(bad)
