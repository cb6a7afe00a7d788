"""The database connection: SQLite by default, PostgreSQL by URL. Migrations run when it is opened."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from storage.errors import DatabaseUnavailableError, StorageError, readable_errors
from storage.ownership import Ownership, take_ownership
from storage.schema import is_current, upgrade

log = logging.getLogger(__name__)

SQLITE_BUSY_TIMEOUT_MS: Final = 5000
_SQLITE_PRAGMAS: Final = (
    f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
)
_SQLITE_BEGIN: Final = "sqlite_begin"
"""The execution option that says how a transaction begins on SQLite; empty for not at all."""

_MIGRATION_PATIENCE_S: Final = 30.0
_PRAGMA_PAUSE_S: Final = 0.02
_SCRUB_TRIES: Final = 10
_SCRUB_BUSY_TIMEOUT_MS: Final = 50
SCRUB_INTERVAL_S: Final = 0.5
SCRUB_AGAIN_S: Final = 5.0


class Database:
    """An open database. Use :meth:`open`, and :meth:`close` in the end."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._ownership: Ownership | None = None
        self._open_transactions = 0
        self._is_closing = False
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[Any] | None = None
        self._scrubbing: asyncio.Task[None] | None = None
        reading = engine.execution_options(sqlite_begin="BEGIN")
        writing = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        if not self._is_sqlite:
            reading = engine.execution_options(isolation_level="REPEATABLE READ")
        self._readers = async_sessionmaker(reading, expire_on_commit=False)
        self._writers = async_sessionmaker(writing, expire_on_commit=False)

    @classmethod
    async def open(cls, url: str, *, exclusive: bool = False) -> Database:
        """Connect and bring the tables up to date.

        ``exclusive`` is for the bot: it becomes the owner of the database until it is closed, and there is one owner.
        Raises :class:`DatabaseInUseError` where there is one already, and :class:`StorageError` with a sentence for
        the operator when the URL, the place or what lies there is unusable.
        """
        try:
            location = make_url(url)
            _prepare_folder(location.database, location.get_backend_name())
            is_sqlite = location.get_backend_name() == "sqlite"
            engine = sqlite_engine(location) if is_sqlite else create_async_engine(location, hide_parameters=True)
        except InvalidRequestError as error:
            raise DatabaseUnavailableError(
                "DATABASE_URL names a driver that cannot be used here. It begins with sqlite+aiosqlite:/// or "
                "postgresql+asyncpg://, as .env.example shows."
            ) from error
        except (ArgumentError, ImportError) as error:
            raise DatabaseUnavailableError("DATABASE_URL is not usable: {reason}", reason=error) from error
        database = cls(engine)
        try:
            with readable_errors():
                if exclusive:
                    database._ownership = await take_ownership(engine)
                await database._bring_up_to_date()
        except OSError as error:
            await database.close()
            raise DatabaseUnavailableError("The database cannot be reached: {reason}", reason=error) from error
        except DBAPIError as error:
            await database.close()
            raise DatabaseUnavailableError("The database cannot be opened: {reason}", reason=error.orig) from error
        except BaseException:
            await database.close()
            raise
        if exclusive:
            await database.scrub()
        return database

    async def _bring_up_to_date(self) -> None:
        """Migrate where needed, as the owner: the tables do not change under a bot that is running."""
        async with self._without_begin() as connection:
            if await is_current(connection):
                return
        meanwhile = None if self._ownership else await take_ownership(self._engine, patience_s=_MIGRATION_PATIENCE_S)
        try:
            async with self._without_begin() as connection:
                await upgrade(connection)
        finally:
            if meanwhile is not None:
                await meanwhile.release()

    async def close(self) -> None:
        """Let the open transactions end, begin no new ones, disconnect, and let another process own the database."""
        self._is_closing = True
        if self._scrubbing is not None:
            self._scrubbing.cancel()
        await self._at_rest.wait()
        await self._engine.dispose()
        if self._ownership is not None:
            await self._ownership.release()
            self._ownership = None

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that sees the database as it is at its first query, and keeps nothing.

        Raises :class:`StorageError` once the database is being closed.
        """
        async with self._counted():
            with readable_errors():
                async with self._readers() as session:
                    yield session

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that commits when the block ends well and rolls back when it does not.

        On SQLite nobody else writes from its first statement to its end, so that what it reads holds when it
        writes; on PostgreSQL what it decides upon is locked by row (:func:`storage.users.lock_user`). A task opens
        no transaction inside another. Raises :class:`StorageError` once the database is being closed.
        """
        async with self._counted(), self._alone():
            with readable_errors():
                async with self._writers.begin() as session:
                    yield session

    async def scrub(self) -> bool:
        """Take what was deleted out of SQLite's write-ahead log too; elsewhere there is nothing to do.

        Returns whether it is out. It is not while another process reads the database: then this goes on trying until
        the database is closed, and the next owner tries again.
        """
        if not self._is_sqlite:
            return True
        for attempt in range(_SCRUB_TRIES):
            if attempt:
                await asyncio.sleep(SCRUB_INTERVAL_S)
            if self._is_closing:
                return False
            if await self._truncate_log():
                return True
        if self._scrubbing is None or self._scrubbing.done():
            self._scrubbing = asyncio.create_task(self._scrub_until_done())
        return False

    async def _scrub_until_done(self) -> None:
        log.warning("deleted rows stay in the write-ahead log while another process reads the database")
        while not await self._truncate_log():  # noqa: ASYNC110 - another process has no way to announce itself
            await asyncio.sleep(SCRUB_AGAIN_S)
        log.info("deleted rows are out of the write-ahead log")

    async def _truncate_log(self) -> bool:
        """Write the log into the database and empty it; whether nobody was in the way."""
        async with self._counted(), self._alone(), self._without_begin() as connection:
            try:
                # it excludes writers while it waits for readers: waiting is left to the intervals between two attempts
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={_SCRUB_BUSY_TIMEOUT_MS}")
                is_busy = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).scalar_one()
            except DBAPIError:
                log.warning("the write-ahead log could not be emptied", exc_info=True)
                return False
            finally:
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")
        return not is_busy

    @contextlib.asynccontextmanager
    async def _without_begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which SQLite is in no transaction until it is told to be."""
        async with self._engine.connect() as connection:
            await connection.execution_options(sqlite_begin="")
            yield connection

    @contextlib.asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        if self._is_closing:
            raise StorageError("I am stopping right now. Please try again in a minute.")
        self._open_transactions += 1
        self._at_rest.clear()
        try:
            yield
        finally:
            self._open_transactions -= 1
            if not self._open_transactions:
                self._at_rest.set()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """In this process, SQLite's writers go one after the other in the order in which they came."""
        if not self._is_sqlite:
            yield
            return
        if self._writer is asyncio.current_task():
            raise RuntimeError("a transaction inside a transaction would wait for itself")
        async with self._writing:
            self._writer = asyncio.current_task()
            try:
                yield
            finally:
                self._writer = None


def sqlite_engine(location: URL) -> AsyncEngine:
    """An engine whose connections lose nothing that is committed, and keep nothing that is erased."""
    engine = create_async_engine(location, hide_parameters=True, json_deserializer=_read_json)
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin_on_sqlite)
    event.listen(engine.sync_engine, "invalidate", _roll_back)
    return engine


def _read_json(text: str) -> Any:
    """What a column of JSON holds; SQLite takes any text there, and one bad row must not hide the others."""
    try:
        return json.loads(text)
    except ValueError:
        return {"unreadable": text}


def _prepare_folder(database: str | None, backend: str) -> None:
    if backend != "sqlite" or not database or database == ":memory:":
        return
    folder = Path(database).resolve().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".write-test").open("wb"):
            pass
        (folder / ".write-test").unlink()
    except OSError as error:
        raise DatabaseUnavailableError(
            "The database folder {folder} cannot be written to ({reason}). "
            "Make it writable for the bot, or set DATABASE_URL to another place.",
            folder=folder,
            reason=error.strerror,
        ) from error


def _set_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    try:
        cursor = connection.cursor()
        for pragma in _SQLITE_PRAGMAS:
            _set_pragma(connection, cursor, pragma)
        cursor.close()
    except BaseException:
        connection.close()  # the pool knows it only when this has returned
        raise


def _set_pragma(connection: Any, cursor: Any, pragma: str) -> None:
    """Patiently: of two that turn a new file to WAL at once, SQLite refuses one without waiting for its timeout."""
    end = time.monotonic() + SQLITE_BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            connection.run_async(lambda _: asyncio.sleep(_PRAGMA_PAUSE_S))
        else:
            return


def _roll_back(connection: Any, _record: Any, _error: BaseException | None) -> None:
    """Let go of the locks of a task that was cut off in a query.

    Closing the connection does not: SQLite keeps it while a statement is alive, which the error's traceback holds.
    """
    with contextlib.suppress(Exception):
        connection.rollback()


def _begin_on_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options().get(_SQLITE_BEGIN, "BEGIN")
    if begin:
        connection.exec_driver_sql(begin)
