"""Hostile files cost their own answer: the pool's processes are bounded, replaced, and gone when their parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest

from photomaker_core.errors import PhotoError
from photomaker_core.images.decoding_pool import DecodingPool
from photomaker_core.images.photo_decoding import MAX_UPLOAD_BYTES, prepare_photo
from tests.support import uploads

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def pool() -> Iterator[DecodingPool]:
    opened = DecodingPool(workers=1)
    yield opened
    opened.close()


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def ends(process_id: int, within_s: float = 10) -> bool:
    limit = time.monotonic() + within_s
    while is_running(process_id) and time.monotonic() < limit:
        time.sleep(0.05)
    return not is_running(process_id)


def peak_mib(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def test_the_pool_answers_as_the_function_does(pool: DecodingPool) -> None:
    for content in (uploads.photo(), uploads.rotated_by_exif()):
        assert pool.prepare(content, "me.jpg") == prepare_photo(content, "me.jpg")
    for content in (b"", b"no picture", uploads.heic(), uploads.png_bomb()):
        with pytest.raises(PhotoError) as here:
            prepare_photo(content, "me.jpg")
        with pytest.raises(PhotoError) as there:
            pool.prepare(content, "me.jpg")
        assert (here.value.sentence, here.value.values) == (there.value.sentence, there.value.values)
    assert len(pool.process_ids) == 1


def test_an_upload_over_the_limit_reaches_no_process(pool: DecodingPool) -> None:
    with pytest.raises(PhotoError, match="larger than 10 MB"):
        pool.prepare(bytes(MAX_UPLOAD_BYTES + 1), "me.jpg")
    assert pool.process_ids == []


@linux_only
def test_sixty_four_megapixels_of_sixteen_bits_stay_within_bounds(pool: DecodingPool) -> None:
    row = np.linspace(0, 65535, 8000).astype(">u2").tobytes()
    pool.prepare(uploads.png_of(8000, 8000, 16, 0, row), "large.png")
    assert peak_mib(pool.process_ids[0]) < 500


@linux_only
def test_a_file_that_eats_memory_is_refused_and_the_next_is_read(pool: DecodingPool) -> None:
    pool.prepare(uploads.photo())
    import resource

    limits = resource.prlimit(pool.process_ids[0], resource.RLIMIT_AS)
    assert limits[0] < 4 * 2**30
    used = int(Path(f"/proc/{pool.process_ids[0]}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(pool.process_ids[0], resource.RLIMIT_AS, (used + 8 * 2**20, limits[1]))
    with pytest.raises(PhotoError, match="memory"):
        pool.prepare(uploads.png_of(6000, 6000, 8, 2, bytes(18_000)), "large.png")
    resource.prlimit(pool.process_ids[0], resource.RLIMIT_AS, limits)
    assert pool.prepare(uploads.photo())


def test_a_file_that_takes_too_long_ends_its_process_and_the_next_gets_another() -> None:
    pool = DecodingPool(workers=1, timeout_s=0.05)
    row = np.linspace(0, 65535, 7000).astype(">u2").tobytes()
    try:
        with pytest.raises(PhotoError, match=r"^slow\.png takes too much time or memory"):
            pool.prepare(uploads.png_of(7000, 7000, 16, 0, row), "slow.png")
        assert pool.process_ids == []
        pool._timeout_s = 60
        assert pool.prepare(uploads.photo())
    finally:
        pool.close()


@linux_only
def test_processor_time_is_limited_anew_for_each_photo(pool: DecodingPool) -> None:
    import resource

    for _ in range(2):
        pool.prepare(uploads.photo())
        soft, _ = resource.prlimit(pool.process_ids[0], resource.RLIMIT_CPU)
        assert 0 < soft < 60


def test_a_process_that_was_killed_is_replaced(pool: DecodingPool) -> None:
    pool.prepare(uploads.photo())
    [first] = pool.process_ids
    os.kill(first, signal.SIGKILL)
    assert ends(first) or pool.prepare(uploads.photo())
    pool.prepare(uploads.photo())
    assert pool.process_ids != [first]


def test_a_slow_photo_delays_no_other() -> None:
    pool = DecodingPool(workers=2)
    row = np.linspace(0, 65535, 8000).astype(">u2").tobytes()
    try:
        slow = pool.submit(uploads.png_of(8000, 8000, 16, 0, row))
        assert pool.submit(uploads.photo()).result(30)
        assert not slow.done()
    finally:
        pool.close()
    assert wait([slow], 5).done


def test_closing_ends_the_processes_and_refuses_what_waits() -> None:
    pool = DecodingPool(workers=1)
    waiting = [pool.submit(uploads.photo(seed)) for seed in range(20)]
    waiting[0].result(30)
    [process] = pool.process_ids
    pool.close()
    assert ends(process)
    assert all(one.done() for one in waiting)


PARENT = """
import signal, sys, time
from photomaker_core.images.decoding_pool import photo_pool
sys.path.insert(0, {tests!r})
from tests.support import uploads
photo_pool().prepare(uploads.photo())
assert "torch" not in sys.modules
print(photo_pool().process_ids[0], flush=True)
{then}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize("ending", ["return", "SIGTERM", "SIGKILL", "SIGINT ignored"])
def test_no_process_outlives_its_parent_however_that_ends(ending: str) -> None:
    ignoring = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if ending == "SIGINT ignored" else ""
    then = "" if ending == "return" else f"{ignoring}time.sleep(60)"
    code = PARENT.format(tests=str(Path(__file__).parents[2]), then=then)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            worker = int(parent.stdout.readline())
            if ending != "return":
                os.kill(parent.pid, signal.SIGKILL if ending == "SIGKILL" else signal.SIGTERM)
            parent.wait(20)
            assert ends(worker)
        finally:
            parent.kill()
