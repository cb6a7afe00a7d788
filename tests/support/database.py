"""What tests of the storage put into a database, and how they look into it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from storage import NewJob, NewPhoto

ADA, BOB = 11, 22
PHOTOS = [NewPhoto(b"first photo"), NewPhoto(b"second photo")]


def url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def new_job(**how: object) -> NewJob:
    return NewJob(**{"user_id": ADA, "channel_id": 1, "message_id": 2, "interaction_token": "t", "request": {}, **how})  # type: ignore[arg-type]
