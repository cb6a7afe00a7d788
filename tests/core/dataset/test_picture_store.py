"""The store of pictures by their content."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from photomaker_core.dataset.picture_store import PictureStore, open_picture, picture_size
from tests.support import uploads


def test_the_same_picture_from_many_threads_at_once_is_stored_once(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    contents = [bytes([number]) * 200_000 for number in range(20)]
    with ThreadPoolExecutor(16) as threads:
        names = list(threads.map(store.put, [content for content in contents for _ in range(8)]))
    assert len(set(names)) == len(contents)
    assert [store.get(name) for name in names[::8]] == contents
    assert not list(tmp_path.rglob("*.partial"))


def test_a_picture_is_upright_by_its_orientation_alone() -> None:
    turned = uploads.rotated_by_exif()
    assert picture_size(turned) == (96, 128)
    upright = open_picture(turned)
    assert upright.size == (96, 128)
    assert upright.getpixel((5, 5))[0] > 200  # type: ignore[index]


def test_a_bad_value_beside_the_orientation_breaks_nothing() -> None:
    odd = Path(__file__).parents[1] / "data" / "odd" / "exif_neg_rational_zero.jpg"
    assert open_picture(odd.read_bytes()).size == picture_size(odd.read_bytes())
