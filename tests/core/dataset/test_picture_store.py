"""The store of pictures by their content."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from photomaker_core.dataset.picture_store import PictureStore


def test_the_same_picture_from_many_threads_at_once_is_stored_once(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    contents = [bytes([number]) * 200_000 for number in range(20)]
    with ThreadPoolExecutor(16) as threads:
        names = list(threads.map(store.put, [content for content in contents for _ in range(8)]))
    assert len(set(names)) == len(contents)
    assert [store.get(name) for name in names[::8]] == contents
    assert not list(tmp_path.rglob("*.partial"))
