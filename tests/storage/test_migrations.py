"""Migrations from every released schema, with rows in it."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

import storage
from storage import (
    Database,
    DatabaseUnavailableError,
    DrawContextStore,
    IdentityStore,
    NotFoundError,
    PhotoStore,
    PrivacyStore,
    PromptStore,
    Share,
    SharingStore,
)
from tests.support.database import ADA, BOB, PHOTOS, rows, url

WHEN = "2026-01-02 03:04:05.000000"
RELEASED = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
WITH_IDS_USED_TWICE = RELEASED[:3]
_NUMBERED = (
    "identities",
    "id_photos",
    "consents",
    "jobs",
    "results",
    "saved_prompts",
    "identity_requests",
    "face_opt_outs",
)


def request(*identities: int) -> str:
    return json.dumps({"prompt": "a man img", "identities": [{"identity_id": one, "name": "x"} for one in identities]})


def old_database(file: Path, revision: str) -> None:
    """A database as an earlier version left it: two members, deleted things that rows still refer to, an odd row."""
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).with_name("migrations")))
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    written: dict[str, list[tuple[Any, ...]]] = {
        "users (id, created_at)": [(ADA, WHEN), (BOB, WHEN)],
        "identities (id, owner_id, name, name_key, created_at)": [
            (1, ADA, "Newton", "newton", WHEN),
            (4, BOB, "Lenna", "lenna", WHEN),
        ],
        "id_photos (id, identity_id, position, content, created_at)": [
            (2, 1, 0, b"first", WHEN),
            (3, 1, 5, b"second", WHEN),
            (7, 4, 0, b"third", WHEN),
        ],
        "id_features (photo_id, fingerprint, content)": [(2, "v1", b"of the first"), (7, "v1", b"of the third")],
        "consents (id, identity_id, user_id, declaration, given_at)": [
            (1, 1, ADA, "mine", WHEN),
            (2, 4, BOB, "me", WHEN),
        ],
        "jobs (id, user_id, channel_id, message_id, request, state, created_at)": [
            (1, ADA, 5, 6, request(1), "done", WHEN),
            (2, ADA, 5, 7, request(1, 12), "failed", WHEN),
            (8, BOB, 5, 8, '{"identities": "odd"}', "queued", WHEN),
        ],
        "results (id, job_id, position, seed, settings, created_at)": [(3, 1, 0, 44, request(30), WHEN)],
    }
    if revision >= "0003":
        written |= {
            "identity_shares (identity_id, kind, target_id, created_at)": [(1, "member", BOB, WHEN)],
            "member_preferences (user_id, identity_id, style)": [(BOB, 1, "Cinematic")],
            "saved_prompts (id, user_id, name, name_key, prompt, created_at)": [(5, ADA, "Hat", "hat", "a hat", WHEN)],
            "server_rules (guild_id, rules)": [(77, '{"open_jobs": 2}')],
        }
    if revision >= "0005":
        jobs = "jobs (id, user_id, channel_id, message_id, request, state, created_at)"
        written[jobs] = [tuple("delivered" if cell == "done" else cell for cell in job) for job in written[jobs]]
        written["jobs (id, user_id, channel_id, request, state, created_at, attempts, awaits_delivery)"] = [
            (9, BOB, 5, request(4), "drawn", WHEN, 2, True)
        ]
    if revision >= "0006":
        written["jobs (id, user_id, channel_id, request, state, created_at, guild_id, pictures)"] = [
            (10, BOB, 5, request(4), "cancelled", WHEN, 77, 4)
        ]
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA foreign_keys=ON")
    for table, lines in written.items():
        places = ", ".join("?" * len(lines[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", lines)
    connection.commit()
    connection.close()


Columns = dict[str, list[str]]
"""The columns of every table."""


def columns(file: Path) -> Columns:
    tables = rows(file, "SELECT name FROM sqlite_master WHERE type = 'table'")
    kept = {str(name) for (name,) in tables} - {"alembic_version", "sqlite_sequence"}
    return {name: [str(row[1]) for row in rows(file, f"PRAGMA table_info({name})")] for name in kept}


def content(file: Path, wanted: Columns) -> dict[str, list[tuple[object, ...]]]:
    """All rows of some columns of some tables."""
    return {
        table: sorted(rows(file, f"SELECT {', '.join(names)} FROM {table}"), key=repr)
        for table, names in wanted.items()
    }


def schema(file: Path) -> set[str]:
    """Every table, index and constraint, whatever the order of columns."""
    statements = rows(file, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'sqlite_sequence'")
    found = set()
    for name, sql in statements:
        plain = re.sub(r'^CREATE TABLE \S+ \(|\n\)$|"', "", str(sql))
        parts = sorted(part.strip() for part in re.split(r", *\n", plain))
        found.add(f"{name}: {parts}")
    return found


@pytest.mark.parametrize("revision", RELEASED)
async def test_every_row_outlives_the_upgrade(file: Path, revision: str) -> None:
    old_database(file, revision)
    known = columns(file)
    before = content(file, known)
    await (await Database.open(url(file))).close()
    before["jobs"] = [tuple("delivered" if cell == "done" else cell for cell in job) for job in before["jobs"]]
    assert content(file, known) == before
    assert rows(file, "PRAGMA foreign_key_check") == []
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("revision", RELEASED)
async def test_an_upgraded_database_is_like_a_new_one(file: Path, tmp_path: Path, revision: str) -> None:
    old_database(file, revision)
    for path in (file, tmp_path / "new.db"):
        await (await Database.open(url(path))).close()
    assert schema(file) == schema(tmp_path / "new.db")


async def test_no_table_gives_an_id_twice(database: Database, file: Path) -> None:
    tables = rows(file, "SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    numbered = {str(name) for name, sql in tables if "id INTEGER NOT NULL PRIMARY KEY" in str(sql)}
    assert numbered >= set(_NUMBERED)
    assert {str(name) for name, sql in tables if "AUTOINCREMENT" in str(sql)} == numbered


@pytest.mark.parametrize("revision", WITH_IDS_USED_TWICE)
async def test_new_ids_are_above_all_that_anything_still_refers_to(file: Path, revision: str) -> None:
    old_database(file, revision)
    database = await Database.open(url(file))
    added = await IdentityStore(database).add(ADA, "euler", PHOTOS, "mine")
    (features,) = await PhotoStore(database).features(ADA, None, [added.id], "v1")
    assert added.id == 31
    assert [one.photo_id for one in features] == [8, 9]
    assert [one.content for one in features] == [None, None]
    await database.close()


async def test_an_upgraded_database_works_on(file: Path) -> None:
    old_database(file, "0003")
    database = await Database.open(url(file))
    assert (await IdentityStore(database).find_accessible(BOB, None, "newton")).id == 1
    assert await PhotoStore(database).contents(1) == [b"first", b"second"]
    assert await SharingStore(database).shares_of(1) == [Share("member", BOB)]
    await PromptStore(database).save(ADA, "hat", "another hat")
    assert [one.prompt for one in await PromptStore(database).all_of(ADA)] == ["another hat"]
    await PrivacyStore(database).forget(ADA)
    with pytest.raises(NotFoundError):
        await IdentityStore(database).find_accessible(BOB, None, "newton")
    await database.close()
    assert rows(file, "SELECT id FROM jobs") == [(8,)]
    assert rows(file, "SELECT photo_id FROM id_features") == [(7,)]


async def test_an_upgrade_that_fails_leaves_all_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_database(file, "0003")
    known = columns(file)
    before = content(file, known)
    upgrade = command.upgrade

    def failing(*arguments: Any) -> None:
        upgrade(*arguments)
        raise OSError("the power went off")

    monkeypatch.setattr(command, "upgrade", failing)
    with pytest.raises(DatabaseUnavailableError, match="the power went off"):
        await Database.open(url(file))
    assert content(file, known) == before
    assert rows(file, "SELECT version_num FROM alembic_version") == [("0003",)]


async def test_a_database_of_a_newer_version_is_explained(file: Path) -> None:
    await (await Database.open(url(file))).close()
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DatabaseUnavailableError, match="made by a newer version"):
        await Database.open(url(file))


async def test_the_number_of_what_was_deleted_last_is_not_given_again(database: Database) -> None:
    store = IdentityStore(database)
    newton = await store.add(ADA, "newton", PHOTOS, "mine")
    await store.delete(ADA, "newton")
    lenna = await store.add(BOB, "lenna", PHOTOS, "mine")
    assert lenna.id > newton.id
    assert (await DrawContextStore(database).load(ADA, None, [newton.id])).people == ((),)


async def test_late_features_of_a_deleted_photo_attach_to_nobody(database: Database) -> None:
    store, photos = IdentityStore(database), PhotoStore(database)
    newton = await store.add(ADA, "newton", PHOTOS, "mine")
    ((first, second),) = await photos.features(ADA, None, [newton.id], "v1")
    await store.delete(ADA, "newton")
    lenna = await store.add(BOB, "lenna", PHOTOS, "mine")
    await photos.keep_features("v1", {first.photo_id: b"newton", second.photo_id: b"newton"})
    (found,) = await photos.features(BOB, None, [lenna.id], "v1")
    assert [one.content for one in found] == [None, None]


async def test_stored_jobs_are_linked_with_the_people_that_are_still_there(file: Path) -> None:
    old_database(file, "0006")
    await (await Database.open(url(file))).close()
    assert rows(file, "SELECT job_id, identity_id FROM job_identities WHERE job_id < 8 ORDER BY job_id") == [
        (1, 1),
        (2, 1),
    ]
