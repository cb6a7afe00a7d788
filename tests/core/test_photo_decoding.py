"""Photos that people have and files that mean harm: what is stored is looked at, not only that something is."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from photomaker_core.errors import PhotoError
from photomaker_core.images.file_structure import is_heic, jpeg_scans
from photomaker_core.images.photo_decoding import load_photo, normalise_photo
from tests.support.uploads import encoded, many_scans, picture, png_of

ODD = Path(__file__).parent / "data" / "odd"


def stored(content: bytes, name: str = "holiday.jpg") -> np.ndarray:
    return np.asarray(load_photo(normalise_photo(content, name)), dtype=float)


def off_by(content: bytes, expected: Image.Image) -> float:
    found, wanted = stored(content), np.asarray(expected.convert("RGB"), dtype=float)
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).mean())


def refusal(content: bytes) -> str:
    with pytest.raises(PhotoError) as refused:
        normalise_photo(content, "holiday.jpg")
    assert str(refused.value).startswith("holiday.jpg ")
    return str(refused.value)


def exif_block(*entries: tuple[int, int, int, bytes], orientation: int = 1) -> bytes:
    """EXIF data of an orientation and of entries (tag, type, count, four bytes)."""
    tags = sorted([*entries, (0x0112, 3, 1, struct.pack("<HH", orientation, 0))])
    directory = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in tags)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + directory + bytes(4)


BAD_VALUES = {
    "rational of negative sign": (0x011A, 10, 1, struct.pack("<I", 0)),
    "rational beyond the end": (0x829A, 5, 1, struct.pack("<I", 60_000)),
    "text as a number": (0x0100, 2, 4, b"abc\0"),
    "count too large": (0x9286, 7, 2**31, struct.pack("<I", 8)),
    "unknown type": (0x9003, 77, 1, bytes(4)),
    "sub-directory beyond the end": (0x8769, 4, 1, struct.pack("<I", 70_000)),
    "sub-directory of text": (0x8769, 2, 4, b"abc\0"),
    "place beyond the end": (0x8825, 4, 1, struct.pack("<I", 2**32 - 1)),
}


@pytest.mark.parametrize("bad", BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_one_bad_exif_value_costs_neither_the_photo_nor_its_orientation(bad: tuple[int, int, int, bytes]) -> None:
    lying = picture().rotate(90, expand=True)
    assert off_by(encoded(lying, exif=exif_block(bad, orientation=6)), picture()) < 12
    assert off_by(encoded(lying, "WEBP", exif=exif_block(bad, orientation=6), quality=95), picture()) < 12
    assert off_by(encoded(lying, "PNG", exif=exif_block(bad, orientation=6)), picture()) < 12


@given(st.binary(max_size=200), st.integers(0, 100))
def test_no_exif_data_can_cost_a_photo(noise: bytes, place: int) -> None:
    block = bytearray(exif_block(*BAD_VALUES.values(), orientation=1))
    block[6 + place : 6 + place + len(noise)] = noise
    found = stored(encoded(picture(96, 96), exif=bytes(block)))
    assert found.shape == (96, 96, 3)


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_turned_upright_in_every_form(turn: int) -> None:
    undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    lying = picture() if turn == 1 else picture().transpose(Image.Transpose(undone[turn]))
    forms = {"JPEG": {}, "PNG": {}, "WEBP": {"lossless": True}, "AVIF": {"quality": 95}}
    for form, options in forms.items():
        assert off_by(encoded(lying, form, exif=exif_block(orientation=turn), **options), picture()) < 12, form
    tagged = Image.Exif()
    tagged[0x0112] = turn
    assert off_by(encoded(lying, "TIFF", exif=tagged), picture()) < 12


def orientation_entry(kind: int, count: int, value: bytes, rest: bytes = b"") -> bytes:
    """EXIF data of nothing but an orientation in some form; ``rest`` begins at 26."""
    entry = struct.pack("<HHHI", 1, 0x0112, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4) + rest


@pytest.mark.parametrize(
    "block",
    [
        orientation_entry(1, 1, b"\6"),
        orientation_entry(2, 2, b"6"),
        orientation_entry(3, 2, struct.pack("<HH", 6, 6)),
        orientation_entry(4, 1, struct.pack("<I", 6)),
        orientation_entry(5, 1, struct.pack("<I", 26), struct.pack("<II", 6, 1)),
        orientation_entry(9, 1, struct.pack("<i", 6)),
        orientation_entry(11, 1, struct.pack("<f", 6)),
    ],
    ids=["byte", "text", "two numbers", "long", "fraction", "signed", "real"],
)
def test_an_orientation_counts_in_whatever_form_it_is_written(block: bytes) -> None:
    lying = picture().rotate(90, expand=True)
    for form in ("JPEG", "PNG", "WEBP"):
        assert off_by(encoded(lying, form, exif=block), picture()) < 12, form


def test_an_orientation_in_a_second_segment_counts() -> None:
    second = orientation_entry(3, 1, struct.pack("<H", 6))
    content = encoded(picture().rotate(90, expand=True), exif=orientation_entry(3, 1, struct.pack("<H", 0)))
    end = content.index(b"\xff\xe1") + 2
    end += int.from_bytes(content[end : end + 2], "big")
    whole = content[:end] + b"\xff\xe1" + struct.pack(">H", len(second) + 2) + second + content[end:]
    assert off_by(whole, picture()) < 12


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_half_file_is_said_to_be_cut_off(form: str) -> None:
    whole = encoded(picture(), form)
    for kept in (len(whole) // 2, len(whole) // 10):
        assert "damaged or cut off" in refusal(whole[:kept])


@pytest.mark.parametrize("colour", [(255, 255, 255, 255), (0, 0, 0, 255), (200, 30, 60, 255), (9, 90, 200, 0)])
def test_a_picture_of_one_colour_is_refused(colour: tuple[int, int, int, int]) -> None:
    blank = Image.new("RGBA", (200, 200), colour)
    for form in ("PNG", "WEBP"):
        assert "shows nothing" in refusal(encoded(blank, form))
    if colour[3]:
        assert "shows nothing" in refusal(encoded(blank.convert("RGB")))


def test_a_photo_may_be_dark_or_mostly_one_colour() -> None:
    dark = picture(300, 300).point(lambda level: level // 18)
    assert stored(encoded(dark)).max() < 20
    mostly_white = Image.new("RGB", (3000, 3000), "white")
    mostly_white.paste(picture(100, 130), (1400, 1400))
    assert stored(encoded(mostly_white)).min() < 100


def test_photos_that_people_have() -> None:
    seen = {path.name: stored(path.read_bytes()) for path in sorted(ODD.iterdir())}
    assert len(seen) == 4
    skin = seen["exif_neg_rational_zero.jpg"].mean(axis=(0, 1))
    for name, found in seen.items():
        assert np.abs(found.mean(axis=(0, 1)) - skin).max() < 3, name


def test_a_wide_gamut_profile_keeps_the_colours_that_people_see() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    in_lab = ImageCms.profileToProfile(picture(), srgb, lab, outputMode="LAB")
    assert in_lab is not None
    assert off_by(encoded(in_lab, "TIFF", icc_profile=lab.tobytes()), picture()) < 12


@pytest.mark.parametrize("profile", [b"", b"nonsense" * 20, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))])
def test_a_profile_that_does_not_fit_is_ignored(profile: object) -> None:
    content = profile.tobytes() if isinstance(profile, ImageCms.ImageCmsProfile) else profile
    for form in ("JPEG", "PNG", "TIFF"):
        assert off_by(encoded(picture(), form, icc_profile=content), picture()) < 12, form


def test_a_png_may_carry_any_amount_of_text_and_profile() -> None:
    notes = PngImagePlugin.PngInfo()
    for number in range(3):
        notes.add_text(f"prompt {number}", "a" * 30_000_000, zip=True)
    assert off_by(encoded(picture(), "PNG", pnginfo=notes), picture()) < 4
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert off_by(encoded(picture(), "PNG", icc_profile=srgb + bytes(3_000_000)), picture()) < 4
    whole = encoded(picture(), "PNG", pnginfo=notes)
    place = whole.index(b"zTXt") + 20
    assert off_by(whole[:place] + b"\xff\xff" + whole[place + 2 :], picture()) < 4


def grey_levels() -> np.ndarray:
    return np.asarray(picture().convert("L"), dtype=np.float64)


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        ("reals to 1", (grey_levels() / 255).astype(np.float32)),
        ("reals to 255", grey_levels().astype(np.float32)),
        ("reals to 65535", (grey_levels() * 257).astype(np.float32)),
        ("reals from -1 to 1", (grey_levels() / 127.5 - 1).astype(np.float32)),
        ("16 bits", (grey_levels() * 257).astype(np.uint16)),
        ("12 bits of 16", (grey_levels() * 16).astype(np.uint16)),
        ("10 bits of 16", (grey_levels() * 4).astype(np.uint16)),
        ("8 bits of 16", grey_levels().astype(np.uint16)),
        ("32 bits", (grey_levels() * (2**31 // 256)).astype(np.int32)),
    ],
)
def test_wide_numbers_are_stored_as_the_brightness_that_they_mean(kind: str, levels: np.ndarray) -> None:
    found = stored(encoded(Image.fromarray(levels), "TIFF"))[..., 0]
    assert np.abs(found - grey_levels()).mean() < 4, kind


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.3, 9.0, 3e3, 1e9, -1.0, -1e5])
def test_other_ranges_are_stretched_and_never_stored_black(scale: float) -> None:
    levels = (grey_levels() / 255 * scale).astype(np.float32)
    levels[0, 0], levels[0, 1] = np.nan, np.inf
    found = stored(encoded(Image.fromarray(levels), "TIFF"))[..., 0]
    assert np.corrcoef(found.ravel()[2:], np.nan_to_num(levels, posinf=0).ravel()[2:])[0, 1] > 0.9
    assert found.max() - found.min() > 60


@pytest.mark.parametrize("level", [0.0, 1.0, np.nan])
def test_numbers_that_show_nothing_are_refused(level: float) -> None:
    assert "shows nothing" in refusal(encoded(Image.fromarray(np.full((96, 96), level, np.float32)), "TIFF"))


def test_a_bilevel_scan_is_shrunk_in_greys() -> None:
    found = stored(encoded(picture(3000, 4000).convert("1"), "PNG"))
    assert found.shape == (1024, 768, 3)
    assert len(np.unique(found)) > 20


@pytest.mark.parametrize(("size", "least"), [((3000, 100), 64), ((100, 9000), 64), ((20_000, 70), 64)])
def test_a_sliver_is_refused(size: tuple[int, int], least: int) -> None:
    assert f"too long and narrow ({size[0]} x {size[1]} pixels)" in refusal(encoded(picture(*size), "PNG"))


def test_what_is_stored_is_never_narrower_than_what_is_asked_for() -> None:
    assert min(stored(encoded(picture(1600, 101))).shape[:2]) >= 64


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"])
def test_large_photos_are_shrunk_the_same_in_every_mode(mode: str) -> None:
    large = picture(1600, 4267)
    expected = large.resize((384, 1024))
    if mode == "I;16":
        content = encoded(Image.fromarray(np.asarray(large.convert("L")).astype(np.uint16) * 257), "PNG")
    else:
        content = encoded(large.convert(mode), "TIFF", compression="tiff_lzw")
    found = stored(content)
    assert found.shape == (1024, 384, 3)
    greys = np.asarray(expected.convert("L"), dtype=float)
    assert np.abs(found.mean(axis=2) - greys).mean() < 25


def test_a_progressive_jpeg_of_thousands_of_passes_is_refused_at_once() -> None:
    hostile = many_scans(4000, 2500)
    assert jpeg_scans(hostile) > 2500
    assert "progressive JPEG of 2" in refusal(hostile)


def test_an_ordinary_progressive_jpeg_is_taken() -> None:
    content = encoded(picture(), progressive=True, exif=exif_block(), comment=b"\xff\xda" * 3000)
    assert 3 <= jpeg_scans(content) <= 20
    assert off_by(content, picture()) < 12


def test_content_counts_and_not_the_name() -> None:
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        assert normalise_photo(encoded(picture(), form), "photo.jfif")


def ftyp(*brands: bytes) -> bytes:
    content = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return struct.pack(">I", len(content) + 4) + content + bytes(100)


def test_heic_and_avif_share_a_container_and_are_told_apart() -> None:
    assert is_heic(ftyp(b"heic", b"mif1"))
    assert is_heic(ftyp(b"mif1", b"heic"))
    assert not is_heic(ftyp(b"mif1", b"avif", b"miaf"))
    assert not is_heic(ftyp(b"avif", b"mif1"))
    assert not is_heic(encoded(picture(), "AVIF"))
    assert "HEIC picture" in refusal(ftyp(b"mif1", b"heic"))
    assert "damaged" in refusal(encoded(picture(), "AVIF")[:400])


def test_an_animated_png_shows_its_picture_without_reading_the_frames() -> None:
    frames = [Image.new("RGB", (96, 128), colour) for colour in ("blue", "green")]
    content = encoded(picture(), "PNG", save_all=True, append_images=frames)
    place = content.index(b"fdAT") + 10
    assert off_by(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :], picture()) < 4


def test_a_large_photo_of_sixteen_bits_is_read() -> None:
    row = np.linspace(0, 65535, 3000).astype(">u2").tobytes()
    found = stored(png_of(3000, 3000, 16, 0, row))
    assert found.shape == (1024, 1024, 3)
    assert np.abs(found[500, :, 0] - np.linspace(0, 255, 1024)).mean() < 3


def test_a_zlib_bomb_of_text_is_not_unpacked() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(80_000_000), 9)
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    whole = encoded(picture(), "PNG")
    assert off_by(whole[:33] + chunk * 40 + whole[33:], picture()) < 4


def test_metadata_is_gone_from_what_is_stored() -> None:
    content = encoded(picture(), exif=exif_block((0x010E, 2, 4, b"home")), comment=b"home address")
    opened = Image.open(io.BytesIO(normalise_photo(content)))
    assert not opened.getexif()
    assert set(opened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}
