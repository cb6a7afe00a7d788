"""Mutated files of every accepted format, read as uploads are: each is answered, soon, by a process that goes on.

``PICTURES=100000 pytest -s tests/core/test_picture_fuzzing.py`` reads a hundred thousand and says how far it is;
``FUZZ_SEED`` chooses which, ``FIRST_PICTURE`` goes on from a number. ``FOUND=folder`` keeps what is found. The files
come from ``scripts/picture_formats.py``; those in ``data/found`` have broken something once.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections import Counter
from pathlib import Path
from random import Random

import psutil
import pytest
from PIL import Image

from photomaker_core.errors import PhotoError
from photomaker_core.images.decoding_pool import DecodingPool
from photomaker_core.images.decoding_worker import MEMORY_BYTES
from photomaker_core.images.photo_decoding import prepare_photo
from tests.support.mutation import mutated

PICTURES = int(os.environ.get("PICTURES", "200"))
FIRST = int(os.environ.get("FIRST_PICTURE", "0"))
TOLD_EVERY = 1000
SEED = os.environ.get("FUZZ_SEED", "0")
FOUND = os.environ.get("FOUND")
MOST_CPU_S = 2.0
DATA = Path(__file__).parent / "data"
SEEDS = sorted((DATA / "formats").iterdir())
EVERY = sorted(path for folder in ("formats", "odd", "found") for path in (DATA / folder).glob("*.*"))


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_every_format_is_read(path: Path) -> None:
    assert prepare_photo(path.read_bytes(), path.name).content


def test_the_files_hold_every_format_that_is_taken() -> None:
    formats = {Image.open(io.BytesIO(path.read_bytes())).format for path in SEEDS}
    assert formats >= {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"}
    assert sum(path.stat().st_size for path in EVERY) < 300_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.timeout(180 + PICTURES // 10)
def test_mutated_pictures_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    """An answer is a photo or a sentence. A process that ends, an error that nobody expected, and two seconds of work
    are findings; the pool logs the first two."""
    caplog.set_level(logging.WARNING, logger="photomaker_core.images.decoding_pool")
    contents = [path.read_bytes() for path in EVERY]
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    peak = slowest = 0.0
    pool = DecodingPool(workers=1)
    try:
        pool.prepare(contents[0])
        for number in range(FIRST, FIRST + PICTURES):
            random = Random(f"{SEED}/{number}")
            content = mutated(contents[number % len(contents)], contents, random)
            [process_id] = pool.process_ids or [0]
            before = _cpu_s(process_id)
            try:
                pool.prepare(content, EVERY[number % len(EVERY)].name)
                outcomes["read"] += 1
            except PhotoError as error:
                outcomes[error.sentence] += 1
            same = pool.process_ids == [process_id]
            took = _cpu_s(process_id) - before if same else 0.0
            slowest = max(slowest, took)
            if same:
                peak = max(peak, _peak_bytes(process_id))
            what = [record.getMessage() for record in caplog.records]
            if took > MOST_CPU_S:
                what.append(f"{took:.1f} s")
            if what:
                findings.append(f"{number} of {EVERY[number % len(EVERY)].name}: {'; '.join(what)}")
                _keep(content, EVERY[number % len(EVERY)])
            caplog.clear()
            if (number + 1) % TOLD_EVERY == 0:
                print(f"up to {number}: {len(findings)} findings, {slowest:.2f} s, {peak / 2**20:.0f} MiB", flush=True)
    finally:
        pool.close()
    for outcome, count in outcomes.most_common():
        print(f"{count:7} {outcome}")
    print(f"{PICTURES} files, at most {slowest:.2f} s of processor time and {peak / 2**20:.0f} MiB of memory")
    assert not findings, "\n".join(findings)
    assert outcomes["read"]
    assert peak < MEMORY_BYTES


def _cpu_s(process_id: int) -> float:
    if not process_id:
        return 0.0
    times = psutil.Process(process_id).cpu_times()
    return times.user + times.system


def _peak_bytes(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _keep(content: bytes, seed: Path) -> None:
    if FOUND is not None:
        (Path(FOUND) / f"{hashlib.sha256(content).hexdigest()[:12]}{seed.suffix}").write_bytes(content)
