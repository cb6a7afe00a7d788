"""Kills a dataset run at random moments, lets it go on, and compares what it made with a run left alone.

    python -m scripts.dataset_kills CONFIG FOLDER [KILLS]    # the runs lie in FOLDER, one worker each

Each run is a process of its own, forked from one that has everything imported.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from photomaker_core.dataset.dataset_config import DatasetConfig, load_dataset_config
from photomaker_core.dataset.pipeline import run

_KILLS: Final = 20


class Silent:
    """Nobody watches."""

    def begin(self, stage: str, total: int | None, done: int) -> None: ...

    def advance(self, pictures: int) -> None: ...

    def end(self) -> None: ...


def main() -> int:
    """Status 1 when any byte differs."""
    config = replace(load_dataset_config(Path(sys.argv[1])), workers=1)
    folder = Path(sys.argv[2])
    kills = int(sys.argv[3]) if len(sys.argv) > 3 else _KILLS
    whole, killed = replace(config, folder=folder / "whole"), replace(config, folder=folder / "killed")
    started = time.monotonic()
    _finish(_start(whole))
    length_s = time.monotonic() - started
    wanted = _digests(whole.folder)
    print(f"left alone: {length_s:.0f} s, {len(wanted)} files", flush=True)
    rng = Random(0)
    done = 0
    while True:
        process = _start(killed)
        if done < kills and not _ends_within(process, rng.uniform(0.05, 0.5) * length_s):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            done += 1
            continue
        if done == kills:
            _finish(process)
        differing = _differing(wanted, _digests(killed.folder))
        print(
            f"through after {done} kills: {len(wanted) - len(differing)} of {len(wanted)} files identical", flush=True
        )
        if differing or done == kills:
            return 1 if differing else 0
        shutil.rmtree(killed.folder)


def _start(config: DatasetConfig) -> int:
    process = os.fork()
    if process == 0:
        run(config, Silent())
        os._exit(0)
    return process


def _finish(process: int) -> None:
    if os.waitpid(process, 0)[1] != 0:
        raise SystemExit("a run that nobody killed failed")


def _ends_within(process: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        time.sleep(0.02)
    return False


def _digests(folder: Path) -> dict[str, str]:
    """Shards, their index and card, and the tables."""
    paths = [*(folder / "shards").glob("*"), *(folder / "tables").glob("*/*.parquet")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if path.suffix != ".partial"
    }


def _differing(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    return [name for name in {*wanted, *found} if wanted.get(name) != found.get(name)]


if __name__ == "__main__":
    sys.exit(main())
