"""What is read and then written, twenty times at once and over two connections, on SQLite and on PostgreSQL.

PostgreSQL is tried where ``TEST_POSTGRESQL_URL`` names an empty database of one.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from storage import (
    Database,
    DuplicatePhotoError,
    IdentityStore,
    LimitReachedError,
    NameTakenError,
    NewPhoto,
    NotFoundError,
    PhotoStore,
    PreferenceStore,
    PrivacyStore,
    PromptStore,
    Rules,
    ServerStore,
    Share,
    SharingStore,
    StorageError,
    StorageLimits,
)
from storage.preferences import MAX_SAVED_PROMPTS
from tests.support.concurrency import TIMES, at_once
from tests.support.database import ADA, BOB, PHOTOS, url

_POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL")

Pair = tuple[Database, Database]


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.skipif(not _POSTGRESQL, reason="TEST_POSTGRESQL_URL is not set")),
    ]
)
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two connections to one database, as two processes have them."""
    address = url(tmp_path / "bot.db")
    if request.param == "postgresql":
        assert _POSTGRESQL is not None
        address = _POSTGRESQL
        engine = create_async_engine(address)
        async with engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await engine.dispose()
    first, second = await at_once(Database.open(address) for _ in range(2))
    yield first, second
    for one in (first, second):
        await one.close()


async def count(database: Database, query: str) -> object:
    async with database.reading() as session:
        return (await session.execute(text(query))).scalar_one()


async def test_a_newcomers_first_commands_at_once_are_all_right(both: Pair) -> None:
    stores = cycle([IdentityStore(one) for one in both])
    added = await at_once(next(stores).add(ADA, f"person {n}", PHOTOS, "mine") for n in range(TIMES))
    assert len({info.id for info in added}) == TIMES
    assert await count(both[0], "SELECT count(*) FROM users") == 1
    assert await count(both[0], "SELECT count(*) FROM consents") == TIMES


async def test_a_newcomers_first_commands_of_every_kind_at_once_are_all_right(both: Pair) -> None:
    for member in range(TIMES):
        await at_once(
            (
                IdentityStore(both[0]).add(member, "newton", PHOTOS, "mine"),
                PreferenceStore(both[1]).change(member, style="Cinematic"),
                PromptStore(both[0]).save(member, "red", "a red hat"),
                PreferenceStore(both[1]).change(member, quality="best"),
            )
        )
        found = await PreferenceStore(both[0]).of(member)
        assert (found.style, found.quality) == ("Cinematic", "best")
    assert await count(both[0], "SELECT count(*) FROM users") == TIMES


async def test_a_name_is_taken_once(both: Pair) -> None:
    stores = cycle([IdentityStore(one) for one in both])
    added = await at_once((next(stores).add(ADA, "newton", PHOTOS, "mine") for _ in range(TIMES)), NameTakenError)
    assert len(added) == 1
    assert await count(both[0], "SELECT count(*) FROM id_photos") == len(PHOTOS)


async def test_a_new_name_is_given_once(both: Pair) -> None:
    stores = [IdentityStore(one) for one in both]
    for number in range(TIMES):
        await stores[0].add(ADA, f"person {number}", PHOTOS, "mine")
    renamed = await at_once(
        (stores[number % 2].rename(ADA, f"person {number}", "newton") for number in range(TIMES)), NameTakenError
    )
    assert [info.name for info in renamed] == ["newton"]


async def test_no_member_gets_more_identities_or_bytes_than_they_may(both: Pair) -> None:
    few = cycle([IdentityStore(one, StorageLimits(identities=3)) for one in both])
    added = await at_once((next(few).add(ADA, f"{n}", PHOTOS, "mine") for n in range(TIMES)), LimitReachedError)
    assert len(added) == 3
    small = cycle([IdentityStore(one, StorageLimits(stored_bytes=500)) for one in both])
    photo = NewPhoto(bytes(100))
    added = await at_once((next(small).add(BOB, f"{n}", [photo], "mine") for n in range(TIMES)), LimitReachedError)
    assert len(added) == 5


async def test_photos_take_their_places_and_no_more_than_there_are(both: Pair) -> None:
    await IdentityStore(both[0]).add(ADA, "newton", PHOTOS, "mine")
    stores = cycle([PhotoStore(one, StorageLimits(photos=10)) for one in both])
    await at_once((next(stores).add(ADA, "newton", [NewPhoto(b"%d" % n)]) for n in range(TIMES)), LimitReachedError)
    async with both[0].reading() as session:
        positions = await session.scalars(text("SELECT position FROM id_photos ORDER BY position"))
        assert list(positions) == list(range(10))


async def test_the_same_photo_is_added_once(both: Pair) -> None:
    await IdentityStore(both[0]).add(ADA, "newton", PHOTOS, "mine")
    stores = cycle([PhotoStore(one) for one in both])
    added = await at_once(
        (next(stores).add(ADA, "newton", [NewPhoto(b"new")]) for _ in range(TIMES)), DuplicatePhotoError
    )
    assert [info.photo_count for info in added] == [3]


async def test_the_last_photo_stays(both: Pair) -> None:
    await IdentityStore(both[0]).add(ADA, "newton", [NewPhoto(b"%d" % n) for n in range(10)], "mine")
    stores = cycle([PhotoStore(one) for one in both])
    removed = await at_once((next(stores).remove(ADA, "newton", 1) for _ in range(TIMES)), StorageError)
    assert sorted(one.info.photo_count for one in removed) == list(range(1, 10))
    assert await PhotoStore(both[0]).contents(removed[0].info.id) == [b"9"]


async def test_an_identity_is_deleted_once_and_nothing_is_left_of_what_came_at_the_same_time(both: Pair) -> None:
    for _ in range(TIMES):
        found = await IdentityStore(both[0]).add(ADA, "newton", PHOTOS, "mine")
        (features,) = await PhotoStore(both[0]).features(ADA, None, [found.id], "v1")
        await at_once(
            (
                IdentityStore(both[0]).delete(ADA, "newton"),
                PhotoStore(both[1]).add(ADA, "newton", [NewPhoto(b"new", {"v1": b"features"})]),
                PhotoStore(both[0]).keep_features("v1", {one.photo_id: b"features" for one in features}),
                SharingStore(both[1]).share(ADA, "newton", Share("member", BOB)),
                PreferenceStore(both[0]).change(BOB, identity_id=found.id),
                IdentityStore(both[1]).delete(ADA, "newton"),
            ),
            NotFoundError,
        )
        for table in ("identities", "id_photos", "id_features", "identity_shares"):
            assert await count(both[0], f"SELECT count(*) FROM {table}") == 0
        assert (await PreferenceStore(both[0]).of(BOB)).identity_id is None


async def test_features_are_kept_by_many_at_once(both: Pair) -> None:
    found = await IdentityStore(both[0]).add(ADA, "newton", PHOTOS, "mine")
    (photos,) = await PhotoStore(both[0]).features(ADA, None, [found.id], "v1")
    stores = cycle([PhotoStore(one) for one in both])
    await at_once(next(stores).keep_features("v1", {photo.photo_id: b"same" for photo in photos}) for _ in range(TIMES))
    (kept,) = await PhotoStore(both[1]).features(ADA, None, [found.id], "v1")
    assert [one.content for one in kept] == [b"same", b"same"]


async def test_shares_are_given_once_and_taken_once(both: Pair) -> None:
    found = await IdentityStore(both[0]).add(ADA, "newton", PHOTOS, "mine")
    stores = cycle([SharingStore(one) for one in both])
    await at_once(next(stores).share(ADA, "newton", Share("member", BOB)) for _ in range(TIMES))
    assert await SharingStore(both[1]).shares_of(found.id) == [Share("member", BOB)]
    taken = await at_once(next(stores).unshare(ADA, "newton") for _ in range(TIMES))
    assert sorted(number for _info, number in taken) == [0] * (TIMES - 1) + [1]


async def test_preferences_that_change_at_once_are_all_kept(both: Pair) -> None:
    stores = cycle([PreferenceStore(one) for one in both])
    fields = ("style", "aspect", "quality")
    await at_once(next(stores).change(ADA, **{fields[number % 3]: "kept"}) for number in range(TIMES))
    found = await PreferenceStore(both[0]).of(ADA)
    assert (found.style, found.aspect, found.quality) == ("kept", "kept", "kept")


async def test_a_prompt_is_kept_once_and_a_full_library_takes_no_more(both: Pair) -> None:
    stores = cycle([PromptStore(one) for one in both])
    replaced = await at_once(next(stores).save(ADA, "hat", f"hat {number}") for number in range(TIMES))
    assert sorted(replaced) == [False] + [True] * (TIMES - 1)
    for number in range(MAX_SAVED_PROMPTS - 2):
        await PromptStore(both[0]).save(ADA, f"{number}", "a prompt")
    await at_once((next(stores).save(ADA, f"new {n}", "a prompt") for n in range(TIMES)), LimitReachedError)
    assert await PromptStore(both[0]).count(ADA) == MAX_SAVED_PROMPTS
    deleted = await at_once((next(stores).delete(ADA, "hat") for _ in range(TIMES)), NotFoundError)
    assert len(deleted) == 1


async def test_rules_that_change_at_once_are_all_kept(both: Pair) -> None:
    stores = cycle([ServerStore(one) for one in both])

    def blocking(word: str) -> Callable[[Rules], Rules]:
        def change(rules: Rules) -> Rules:
            return replace(rules, blocked_words=(*rules.blocked_words, word))

        return change

    await at_once(
        (
            *(next(stores).update(7, blocking(f"word {number}")) for number in range(TIMES)),
            next(stores).change(7, open_jobs=3),
            next(stores).change(7, is_paused=True),
        )
    )
    rules = await ServerStore(both[0]).rules(7)
    assert sorted(rules.blocked_words) == sorted(f"word {number}" for number in range(TIMES))
    assert (rules.open_jobs, rules.is_paused) == (3, True)


async def test_whoever_is_forgotten_while_they_add_is_gone_or_there_whole(both: Pair) -> None:
    for number in range(TIMES):
        await IdentityStore(both[0]).add(ADA, "newton", PHOTOS, "mine")
        await at_once(
            (
                PrivacyStore(both[0]).forget(ADA),
                IdentityStore(both[1]).add(ADA, f"person {number}", PHOTOS, "mine"),
                PromptStore(both[0]).save(ADA, "hat", "a hat"),
                PreferenceStore(both[1]).change(ADA, style="Cinematic"),
            )
        )
        overview = await PrivacyStore(both[0]).overview(ADA)
        assert overview.photos == len(PHOTOS) * overview.identities
        assert overview.identities <= 1
        await PrivacyStore(both[1]).forget(ADA)
        assert (await PrivacyStore(both[0]).overview(ADA)).is_empty


async def test_a_new_database_is_opened_by_many_at_once(tmp_path: Path) -> None:
    opened = await at_once(Database.open(url(tmp_path / "new.db")) for _ in range(4))
    assert await count(opened[0], "SELECT count(*) FROM alembic_version") == 1
    for one in opened:
        await one.close()


async def test_a_transaction_inside_another_is_refused_at_once(database: Database) -> None:
    async with database.transaction():
        with pytest.raises(RuntimeError, match="inside a transaction"):
            async with database.transaction():
                pass


async def test_writers_that_are_cut_off_are_in_nobodys_way(both: Pair) -> None:
    chance = random.Random(3)
    stores = cycle([IdentityStore(one) for one in both])
    tasks = [asyncio.create_task(next(stores).add(ADA, f"{number}", PHOTOS, "mine")) for number in range(2 * TIMES)]
    for task in tasks:
        await asyncio.sleep(chance.uniform(0, 0.01))
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    added = [one for one in outcomes if not isinstance(one, BaseException)]
    assert {type(one) for one in outcomes if isinstance(one, BaseException)} <= {asyncio.CancelledError}
    async with asyncio.timeout(30):
        await IdentityStore(both[0]).add(ADA, "afterwards", PHOTOS, "mine")
    infos = await IdentityStore(both[1]).all_of(ADA)
    assert {info.id for info in infos} >= {info.id for info in added}
    assert {info.photo_count for info in infos} == {len(PHOTOS)}
