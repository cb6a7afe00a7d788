"""A database in a file, and its stores."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import Database, IdentityStore, JobStore, PhotoStore
from tests.support.database import url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
async def database(file: Path, empty_database: Path) -> AsyncIterator[Database]:
    shutil.copy(empty_database, file)
    opened = await Database.open(url(file))
    yield opened
    await opened.close()


@pytest.fixture
def identities(database: Database) -> IdentityStore:
    return IdentityStore(database)


@pytest.fixture
def photos(database: Database) -> PhotoStore:
    return PhotoStore(database)


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)
