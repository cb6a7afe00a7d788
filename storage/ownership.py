"""The lock that one process holds on a database: two bots on one would deliver everything twice.

The operating system, or PostgreSQL, lets go of it when the process ends, however it ends.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Final, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.errors import DatabaseInUseError

_INTERVAL_S: Final = 0.1
_ADVISORY_KEY: Final = 0x70686F746F  # "photo"; advisory locks are apart in each PostgreSQL database


class Ownership(Protocol):
    """A held lock."""

    async def release(self) -> None: ...


async def take_ownership(engine: AsyncEngine, *, patience_s: float = 0.0) -> Ownership | None:
    """Lock the engine's database against other owners; ``None`` for a database in memory, which nobody else sees.

    Raises :class:`DatabaseInUseError` where another owner keeps it for longer than ``patience_s``.
    """
    gives_up_at = time.monotonic() + patience_s
    while True:
        try:
            return await _take(engine)
        except DatabaseInUseError:
            if time.monotonic() >= gives_up_at:
                raise
            await asyncio.sleep(_INTERVAL_S)


async def _take(engine: AsyncEngine) -> Ownership | None:
    if engine.dialect.name == "sqlite":
        async with engine.connect() as connection:
            file: str = (await connection.exec_driver_sql("PRAGMA database_list")).scalars("file").first() or ""
        return await asyncio.to_thread(LockFile, file) if file else None
    return await _AdvisoryLock.take(engine)


class LockFile:
    """SQLite's own lock on an empty file beside the database: it works wherever the database itself does.

    Raises :class:`DatabaseInUseError` where another owner has it.
    """

    def __init__(self, database_file: str) -> None:
        self._connection = sqlite3.connect(
            f"{database_file}.lock", timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self._connection.execute("PRAGMA journal_mode=MEMORY")
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            self._connection.close()
            if "locked" not in str(error):
                raise
            raise DatabaseInUseError(
                "Another bot is running with the database {place}. Stop that one first, or set DATABASE_URL to another "
                "place: two on one database would deliver everything twice.",
                place=database_file,
            ) from error

    def close(self) -> None:
        """Let go of the lock."""
        self._connection.close()

    async def release(self) -> None:
        self.close()


class _AdvisoryLock:
    """PostgreSQL's advisory lock, on a connection of its own."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    async def take(cls, engine: AsyncEngine) -> _AdvisoryLock:
        connection = await engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            is_ours = await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY})
            if not is_ours:
                raise DatabaseInUseError(
                    "Another bot is running with the database {place}. Stop that one first, or set DATABASE_URL to "
                    "another place: two on one database would deliver everything twice.",
                    place=engine.url.database,
                )
        except BaseException:
            await connection.invalidate()
            await connection.close()
            raise
        return cls(connection)

    async def release(self) -> None:
        await self._connection.invalidate()
        await self._connection.close()
