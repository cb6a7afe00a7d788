"""Uploads become upright RGB JPEGs without metadata, or a sentence that says what is wrong."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from photomaker_core.errors import PhotoError
from photomaker_core.images.photo_decoding import MAX_UPLOAD_BYTES, load_photo, normalise_photo
from photomaker_core.images.preprocessing import clip_pixels
from tests.support import uploads
from tests.support.tiny_model import NEWTON
from tests.support.uploads import encoded, picture

SECOND_FRAME = Image.new("RGB", (96, 128), "blue")


def looks_like_the_picture(content: bytes, tolerance: float = 12) -> bool:
    found, expected = (np.asarray(one, dtype=float) for one in (load_photo(content), picture()))
    return found.shape == expected.shape and bool(np.abs(found - expected).mean() < tolerance)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("jpeg", encoded(picture())),
        ("png", encoded(picture(), "PNG")),
        ("webp", encoded(picture(), "WEBP")),
        ("bmp", encoded(picture(), "BMP")),
        ("tiff", encoded(picture(), "TIFF")),
        ("cmyk jpeg", encoded(picture().convert("CMYK"))),
        ("palette", encoded(picture().quantize(64), "PNG")),
        ("animated gif", encoded(picture(), "GIF", save_all=True, append_images=[SECOND_FRAME])),
        ("animated png", encoded(picture(), "PNG", save_all=True, append_images=[SECOND_FRAME])),
        ("animated webp", encoded(picture(), "WEBP", save_all=True, append_images=[SECOND_FRAME], lossless=True)),
        ("turned by exif", uploads.rotated_by_exif()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_readable_form_shows_its_upright_first_frame(kind: str, content: bytes) -> None:
    assert looks_like_the_picture(normalise_photo(content, kind))


def test_sixteen_bit_keeps_its_levels() -> None:
    levels = np.linspace(0, 65535, 128 * 96).reshape(128, 96).astype(np.uint16)
    stored = np.asarray(load_photo(normalise_photo(encoded(Image.fromarray(levels), "PNG"))), dtype=float)
    assert np.abs(stored[..., 0] - levels / 257).max() < 4


def test_transparency_is_laid_on_white() -> None:
    cut_out = picture().convert("RGBA")
    cut_out.paste((90, 20, 60, 0), (48, 0, 96, 128))
    shown = np.asarray(load_photo(normalise_photo(encoded(cut_out, "PNG"))))
    assert shown[:, 60:].min() > 250
    assert shown[:, :36].min() < 100


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty (0 bytes)"),
        (b"#!/bin/sh\necho no picture\n" * 40, "not a picture"),
        (encoded(picture(400, 400))[:2000], "damaged or cut off"),
        (encoded(picture(400, 400), "PNG")[:500], "damaged or cut off"),
        (b"\xff\xd8" + bytes(MAX_UPLOAD_BYTES), "larger than 10 MB"),
        (uploads.png_bomb(), "too many pixels. Please upload a copy of at most 64 megapixels"),
        (uploads.heic(), "HEIC picture, which cannot be read here. Save it as JPEG first"),
        (encoded(picture(8, 8), "PNG"), "only 8 x 8 pixels"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
    ids=["empty", "text", "cut jpeg", "cut png", "over 10 MB", "bomb", "heic", "8 x 8", "svg"],
)
def test_every_unusable_upload_is_explained_by_name(content: bytes, sentence: str) -> None:
    with pytest.raises(PhotoError) as refusal:
        normalise_photo(content, "holiday.jpg")
    assert str(refusal.value).startswith("holiday.jpg ")
    assert sentence in str(refusal.value)


def test_metadata_is_dropped_and_large_photos_shrink() -> None:
    exif = Image.Exif()
    exif[0x010E] = "my home address"
    stored = normalise_photo(encoded(picture(3000, 1500), exif=exif, comment=b"my home address"))
    assert b"my home address" not in stored
    opened = Image.open(io.BytesIO(stored))
    assert (opened.format, opened.mode, opened.size) == ("JPEG", "RGB", (1024, 512))
    assert not opened.getexif()


@given(st.binary(max_size=400), st.integers(0, 3000))
def test_no_upload_can_do_more_than_be_refused(noise: bytes, place: int) -> None:
    whole = bytearray(encoded(picture()))
    whole[place : place + len(noise)] = noise
    for content in (noise, bytes(whole)):
        try:
            load_photo(normalise_photo(content))
        except PhotoError:
            continue


def test_clip_pixels_of_a_photo_of_any_shape() -> None:
    shapes = {clip_pixels([picture(*size)]).shape for size in ((64, 500), (500, 64), (224, 224), (97, 131))}
    assert shapes == {(1, 3, 224, 224)}


def test_real_photos_keep_their_colours() -> None:
    for path in NEWTON:
        original = Image.open(path).convert("RGB")
        stored = load_photo(normalise_photo(path.read_bytes()))
        small = [np.asarray(one.resize((32, 32)), dtype=float) for one in (original, stored)]
        assert np.abs(small[0] - small[1]).mean() < 2
