"""Reading strangers' pictures at their full size, as datasets do; test_photo_decoding.py tests uploads."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photomaker_core.images.picture_reading import Fault, UnreadablePictureError, read_picture
from tests.support import uploads

_ODD = Path(__file__).parent / "data" / "odd"


def _jpeg(size: tuple[int, int] = (96, 96)) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 64).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_picture_is_upright_and_its_size_is_checked_so() -> None:
    sizes: list[tuple[int, int]] = []
    upright = read_picture(uploads.rotated_by_exif(), check_size=sizes.append)
    assert upright.size == (96, 128)
    assert sizes == [(96, 128)]
    assert upright.getpixel((5, 5))[0] > 200  # type: ignore[index]


@pytest.mark.parametrize("path", sorted(_ODD.glob("exif_*")), ids=lambda path: path.name)
def test_bad_metadata_breaks_nothing(path: Path) -> None:
    assert min(read_picture(path.read_bytes()).size) > 0


def test_a_large_picture_keeps_its_size_unless_a_smaller_one_is_asked_for() -> None:
    large = _jpeg((3000, 1200))
    assert read_picture(large).size == (3000, 1200)
    assert 500 <= read_picture(large, 250).width <= 1000


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    buffer = io.BytesIO()
    grey = Image.linear_gradient("L").resize((80, 80))
    picture = grey.point(lambda level: level * 257, "I").convert("I;16") if mode == "I;16" else grey.convert(mode)
    picture.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    read = read_picture(buffer.getvalue())
    assert (read.mode, read.size, read.info) == ("RGB", (80, 80), {})


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_a_tiff_whose_zero_is_white_is_no_negative(mode: str) -> None:
    shown = Image.linear_gradient("L").resize((200, 300))
    levels = 255 - np.asarray(shown).astype(np.float32)
    numbers = (levels * 257).astype(np.uint16) if mode == "I;16" else levels / 255
    file = io.BytesIO()
    Image.fromarray(numbers).save(file, "TIFF", tiffinfo={262: 0})
    found = np.asarray(read_picture(file.getvalue()).convert("L")).astype(int)
    assert np.abs(found - np.asarray(shown)).max() <= 2


@pytest.mark.parametrize("markers", [1, 155, 100_000])
def test_megabytes_of_markers_cost_no_time_and_change_nothing(markers: int) -> None:
    plain = _jpeg()
    length = min(65_533, 10_000_000 // markers)
    filler = b"".join(
        b"\xff" + bytes([0xE0 + number % 14 + 2]) + struct.pack(">H", length + 2) + b"\xda" * length
        for number in range(markers)
    )
    assert read_picture(plain[:2] + filler + plain[2:]).tobytes() == read_picture(plain).tobytes()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"<html>not found</html>", Fault.NO_PICTURE),
        (b"", Fault.NO_PICTURE),
        (_jpeg()[:400], Fault.DAMAGED),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(64), Fault.HEIC),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, fault: Fault) -> None:
    with pytest.raises(UnreadablePictureError) as error:
        read_picture(content)
    assert error.value.fault is fault


def test_what_a_check_raises_reaches_its_caller() -> None:
    def refuse(size: tuple[int, int]) -> None:
        raise LookupError(size)

    with pytest.raises(LookupError):
        read_picture(_jpeg(), check_size=refuse)
