"""INSERT … ON CONFLICT for both databases: what is there already is left alone or replaced, in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Base


async def insert_unless_there(session: AsyncSession, model: type[Base], values: Mapping[str, Any]) -> None:
    """Insert a row; one with the same key stays as it is."""
    await session.execute(_insert(session, model).values(**values).on_conflict_do_nothing())


async def insert_or_replace(
    session: AsyncSession, model: type[Base], rows: Sequence[Mapping[str, Any]], key: Sequence[str]
) -> None:
    """Insert rows; where ``key`` is taken, the other given columns get the new values.

    ``rows`` is not empty, and all name the same columns.
    """
    statement = _insert(session, model).values([dict(row) for row in rows])
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    await session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed))


def _insert(session: AsyncSession, model: type[Base]) -> sqlite.Insert | postgresql.Insert:
    table = model.__table__
    assert isinstance(table, Table)
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
