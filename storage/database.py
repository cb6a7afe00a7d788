"""The database connection: SQLite by default, PostgreSQL by URL. Migrations run when it is opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from storage.errors import StorageError, readable_errors

_SQLITE_PRAGMAS = (
    "busy_timeout=5000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
)


class Database:
    """An open database. Use :meth:`open`, and :meth:`close` in the end."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._open_transactions = 0
        self._is_closing = False
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    async def open(cls, url: str) -> Database:
        """Connect and bring the tables up to date.

        Raises :class:`StorageError` with a sentence for the operator when the URL or the place is unusable.
        """
        try:
            location = make_url(url)
            _prepare_folder(location.database, location.get_backend_name())
            engine = create_async_engine(location)
        except (ArgumentError, ImportError) as error:
            raise StorageError(f"DATABASE_URL is not usable: {error}") from error
        if location.get_backend_name() == "sqlite":
            event.listen(engine.sync_engine, "connect", _set_pragmas)
        try:
            with readable_errors():
                async with engine.begin() as connection:
                    await connection.run_sync(_migrate)
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine)

    async def close(self) -> None:
        """Let the open transactions end, begin no new ones, and disconnect."""
        self._is_closing = True
        await self._at_rest.wait()
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that commits when the block ends well and rolls back when it does not.

        Raises :class:`StorageError` once the database is being closed.
        """
        if self._is_closing:
            raise StorageError("I am stopping right now. Please try again in a minute.")
        self._open_transactions += 1
        self._at_rest.clear()
        try:
            with readable_errors():
                async with self._sessions.begin() as session:
                    yield session
        finally:
            self._open_transactions -= 1
            if not self._open_transactions:
                self._at_rest.set()

    async def scrub(self) -> None:
        """Take what was deleted out of SQLite's write-ahead log too; elsewhere there is nothing to do."""
        if self._engine.dialect.name != "sqlite":
            return
        with readable_errors():
            async with self._engine.connect() as connection:
                autocommitting = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await autocommitting.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


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
        raise StorageError(
            f"The database folder {folder} cannot be written to ({error.strerror}). "
            "Make it writable for the bot, or set DATABASE_URL to another place."
        ) from error


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
