"""Care of a SQLite database as a whole: copying it, putting a copy back, checking it, making it small.

Called by ``photomaker-bot db``. Everything here blocks. A copy is made while the bot runs; what replaces or rewrites
the database is for its owner alone (:mod:`storage.ownership`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from storage.errors import StorageError
from storage.ownership import LockFile
from storage.schema import head_revision, is_known_revision

_BUSY_TIMEOUT_S: Final = 30.0
_MOST_FAULTS: Final = 20
_UNCOUNTED: Final = frozenset({"alembic_version"})


class MaintenanceError(StorageError):
    """The database or the copy is not fit for what was asked; nothing was changed. Read by the operator."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The state of a database.

    ``faults`` are SQLite's sentences about damage and rows that refer to nothing, at most 20 of them. ``revision`` is
    that of its tables, ``None`` in a database that no bot has opened. ``counts`` are rows by table. ``free_bytes`` is
    what a vacuum would give back of ``size_bytes``.
    """

    faults: tuple[str, ...]
    revision: str | None
    counts: dict[str, int]
    size_bytes: int
    free_bytes: int

    @property
    def state(self) -> str:
        """What the revision means for this version of the bot."""
        if self.revision is None:
            return "no tables yet"
        if self.revision == head_revision():
            return "up to date"
        if is_known_revision(self.revision):
            return "brought up to date when the bot starts"
        return "of a newer version of this bot, which this one cannot read"


def sqlite_file(url: str) -> Path:
    """The file that a database URL names; raises :class:`MaintenanceError` where it names none."""
    try:
        location = make_url(url)
    except ArgumentError as error:
        raise MaintenanceError("DATABASE_URL is not usable: {reason}", reason=error) from error
    if location.get_backend_name() != "sqlite":
        raise MaintenanceError(
            "This is for SQLite databases. A PostgreSQL database is looked after by its own tools: pg_dump makes a "
            "copy, pg_restore puts it back, vacuumdb makes it small."
        )
    if not location.database or location.database == ":memory:":
        raise MaintenanceError("DATABASE_URL names a database in memory, which ends with the bot.")
    return Path(location.database)


def check(file: Path) -> CheckReport:
    """Look through the whole database; the bot may run meanwhile.

    Raises :class:`MaintenanceError` for what is not there, cannot be read or is no database.
    """
    with _opened(file) as connection:
        faults = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_MOST_FAULTS})")]
        faults = [fault for fault in faults if fault != "ok"]
        if not faults:
            faults = [
                f"a row of {table} refers to one of {parent} that is not there"
                for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST_FAULTS)
            ]
        page, pages, free = (_number(connection, name) for name in ("page_size", "page_count", "freelist_count"))
        return CheckReport(tuple(faults), _revision(connection), _counts(connection), page * pages, page * free)


def back_up(file: Path, copy: Path) -> int:
    """Write the database as it is at one moment into the new file ``copy``; returns its size in bytes.

    The bot may run, and waits for nothing. The copy is private (mode 0600) and whole, or not there at all. Raises
    :class:`MaintenanceError` where ``copy`` exists already, and for what cannot be read or written.
    """
    if copy.exists():
        raise _is_there_already(copy)
    with _written(copy) as partial:
        _copy(file, partial)
        _require_sound(partial)
        _place_new(partial, copy)
    return copy.stat().st_size


def restore(copy: Path, file: Path) -> Path | None:
    """Put a copy in the place of the database; returns where the one before lies now, ``None`` where there was none.

    The copy is looked through first. Raises :class:`DatabaseInUseError` while a bot runs, and
    :class:`MaintenanceError` for a copy that is damaged, no database of this bot, or of a newer version.
    """
    _require_sound(copy)
    file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    with _owned(file), _written(file) as partial:
        _copy(copy, partial)
        aside = _set_aside(file) if file.exists() else None
        partial.replace(file)
        _sync_folder(file.parent)
    return aside


def vacuum(file: Path) -> tuple[int, int]:
    """Write the database anew without its gaps; returns its bytes before and after.

    Needs as much free disk as the database takes. Raises :class:`DatabaseInUseError` while a bot runs, and
    :class:`MaintenanceError` for what cannot be read or written.
    """
    with _owned(file), _opened(file, write=True) as connection:
        before = _number(connection, "page_size") * _number(connection, "page_count")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return before, _number(connection, "page_size") * _number(connection, "page_count")


@contextlib.contextmanager
def _opened(file: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that begins no transactions by itself; what SQLite refuses becomes a sentence."""
    if not file.is_file():
        raise MaintenanceError("There is no database at {path}.", path=file)
    try:
        uri = f"{file.resolve().as_uri()}?mode={'rw' if write else 'ro'}"
        with contextlib.closing(sqlite3.connect(uri, _BUSY_TIMEOUT_S, isolation_level=None, uri=True)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise MaintenanceError("{path}: {reason}.", path=file, reason=error) from error


@contextlib.contextmanager
def _owned(file: Path) -> Iterator[None]:
    with contextlib.closing(LockFile(str(file))):
        yield


@contextlib.contextmanager
def _written(target: Path) -> Iterator[Path]:
    """A new private file beside ``target``, which is gone afterwards unless it was moved."""
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        yield partial
    except OSError as error:
        raise MaintenanceError("{path}: {reason}.", path=target, reason=error.strerror or error) from error
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a database into an empty file, as one that has no write-ahead log beside it."""
    with _opened(source) as reading, _opened(target, write=True) as writing:
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode=DELETE")
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def _require_sound(copy: Path) -> None:
    report = check(copy)
    if report.faults:
        raise MaintenanceError("{path} is damaged: {fault}.", path=copy, fault=report.faults[0])
    if report.revision is None:
        raise MaintenanceError("{path} is no database of this bot.", path=copy)
    if not is_known_revision(report.revision):
        raise MaintenanceError("{path} was made by a newer version of this bot, which this one cannot read.", path=copy)


def _place_new(partial: Path, target: Path) -> None:
    """Give a finished file its name, if nothing has it."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise _is_there_already(target) from error
    partial.replace(target)
    _sync_folder(target.parent)


def _is_there_already(path: Path) -> MaintenanceError:
    return MaintenanceError("{path} is there already and is not overwritten.", path=path)


def _set_aside(file: Path) -> Path:
    """A second name for the database as it is, sound or damaged, with everything that its write-ahead log holds."""
    aside = file.with_name(f"{file.name}.before-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
    try:
        _empty_log(file)
    except MaintenanceError:
        if not _is_damaged(file):
            raise
        with contextlib.suppress(FileNotFoundError):
            file.with_name(f"{file.name}-wal").replace(aside.with_name(f"{aside.name}-wal"))
        file.with_name(f"{file.name}-shm").unlink(missing_ok=True)
    try:
        os.link(file, aside)
    except OSError:
        # Not every file system knows a second name.
        shutil.copy2(file, aside)
    return aside


def _empty_log(file: Path) -> None:
    """Write the log into the database and do without it."""
    with _opened(file, write=True) as connection:
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise MaintenanceError("Another program reads {path}. Close it first.", path=file)
        connection.execute("PRAGMA journal_mode=DELETE")


def _is_damaged(file: Path) -> bool:
    try:
        return bool(check(file).faults)
    except MaintenanceError:
        return True


def _sync_folder(folder: Path) -> None:
    """Make new names last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    return None if row is None else str(row[0])


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return {
        name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - its own names
        for (name,) in names
        if name not in _UNCOUNTED and not name.startswith("sqlite_")
    }


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
