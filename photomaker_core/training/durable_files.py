"""Files of a training run that outlive a kill and a power cut: written beside their place, synced, renamed into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from photomaker_core.errors import UserError

_PARTIAL: Final = ".partial"


class UnwrittenFileError(UserError):
    """A file of the run could not be written; what stood in its place is as it was."""


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A path to write a file at, which takes the place of ``path`` when the block ends well and has written one.

    Raises :class:`UnwrittenFileError` where that fails, as on a full disk.
    """
    partial = path.with_name(f"{path.stem}{_PARTIAL}{path.suffix}")
    with _explained(path, partial):
        yield partial
        if not partial.exists():
            return
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """An empty folder whose files take the places of those of the same name in ``path`` when the block ends well.

    A new ``path`` appears whole. Raises :class:`UnwrittenFileError` where that fails, as on a full disk.
    """
    partial = path.with_name(path.name + _PARTIAL)
    with _explained(path, partial):
        _remove(partial)
        partial.mkdir(parents=True)
        yield partial
        files = [one for one in sorted(partial.rglob("*")) if one.is_file()]
        for file in files:
            _sync(file)
        if path.exists():
            for file in files:
                place = path / file.relative_to(partial)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
        else:
            partial.rename(path)
        _sync(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run was writing into ``folder``."""
    for path in folder.iterdir():
        if path.name.endswith(_PARTIAL) or f"{_PARTIAL}." in path.name:
            _remove(path)


@contextmanager
def _explained(path: Path, partial: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnwrittenFileError(
            f"{path} could not be written: {reason}. What was there before is as it was. Mend that and start the same "
            "command again: it goes on from the last checkpoint."
        ) from error
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until the contents of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
