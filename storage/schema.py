"""Bringing the tables up to date, whole or not at all. Called when a database is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.errors import DatabaseUnavailableError

_ADVISORY_KEY: Final = 0x736368656D61  # "schema"


def head_revision() -> str:
    """The revision of this version's tables."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def is_known_revision(revision: str) -> bool:
    """True where this version can bring tables of ``revision`` up to date."""
    return any(one.revision == revision for one in ScriptDirectory.from_config(_config()).walk_revisions())


async def is_current(connection: AsyncConnection) -> bool:
    """True where the tables are those of this version."""
    found = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    await connection.rollback()
    return found == head_revision()


async def upgrade(connection: AsyncConnection, revision: str = "head") -> None:
    """Migrate to ``revision`` in one transaction; others that open the database at the same time wait.

    On SQLite the connection must begin no transaction by itself. Foreign keys are off meanwhile: a table that is made
    anew would take along what refers to it. Raises :class:`DatabaseUnavailableError` for a database of a newer version,
    and where a row would come to refer to nothing.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        await connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
        orphans_before = await _count_orphans(connection)
    else:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
    try:
        await connection.run_sync(_run_migrations, revision)
    except CommandError as error:
        raise DatabaseUnavailableError(
            "The database was made by a newer version of this bot, which this one cannot read. Install that version, "
            "or set DATABASE_URL to another place."
        ) from error
    if is_sqlite:
        if await _count_orphans(connection) > orphans_before:
            raise DatabaseUnavailableError("Bringing the database up to date would lose rows; it was left as it is.")
        await connection.commit()
        await connection.exec_driver_sql("PRAGMA foreign_keys=ON")
    await connection.commit()


async def _count_orphans(connection: AsyncConnection) -> int:
    return len((await connection.exec_driver_sql("PRAGMA foreign_key_check")).all())


def _run_migrations(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config
