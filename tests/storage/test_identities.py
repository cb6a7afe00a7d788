"""Storage on real SQLite files."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import Database, IdentityStore, NewPhoto, NotFoundError, StorageError
from tests.support.database import ADA, BOB, PHOTOS, rows, url


async def test_an_identity_comes_back_as_it_was_added(identities: IdentityStore) -> None:
    added = await identities.add(ADA, "newton", PHOTOS, "Fictional person or work of art")
    assert await identities.find(ADA, "newton") == added
    assert (added.photo_count, added.declaration) == (2, "Fictional person or work of art")
    assert [photo.content for photo in await identities.photos(added.id)] == [b"first photo", b"second photo"]


async def test_it_is_there_again_after_a_restart(file: Path) -> None:
    first = await Database.open(url(file))
    await IdentityStore(first).add(ADA, "newton", PHOTOS, "mine")
    await first.close()
    second = await Database.open(url(file))
    assert await IdentityStore(second).names(ADA) == ["newton"]
    await second.close()


@pytest.mark.parametrize("again", ["newton", "NEWTON", "  newton ", "ｎｅｗｔｏｎ"])
async def test_a_name_is_taken_once_a_member_however_it_is_written(identities: IdentityStore, again: str) -> None:
    await identities.add(ADA, "Newton", PHOTOS, "mine")
    with pytest.raises(StorageError, match="already have an identity called"):
        await identities.add(ADA, again, [NewPhoto(b"other")], "mine")
    assert await identities.names(ADA) == ["Newton"]
    await identities.add(BOB, again, PHOTOS, "mine")


async def test_a_member_finds_only_their_own(identities: IdentityStore) -> None:
    added = await identities.add(ADA, "newton", PHOTOS, "mine")
    for refused in (
        identities.find(BOB, "newton"),
        identities.usable(BOB, None, added.id),
        identities.rename(BOB, "newton", "stolen"),
        identities.delete(BOB, "newton"),
    ):
        with pytest.raises(NotFoundError):
            await refused
    assert await identities.names(BOB) == []
    assert await identities.names(ADA) == ["newton"]


async def test_renaming_keeps_the_photos_and_refuses_a_taken_name(identities: IdentityStore) -> None:
    await identities.add(ADA, "isaac", PHOTOS, "mine")
    await identities.add(ADA, "lenna", PHOTOS, "mine")
    with pytest.raises(StorageError, match="“Lenna”"):
        await identities.rename(ADA, "isaac", "Lenna")
    renamed = await identities.rename(ADA, "isaac", "Isaac")
    assert (renamed.name, renamed.photo_count) == ("Isaac", 2)


async def test_deleting_leaves_no_trace_in_the_file(identities: IdentityStore, database: Database, file: Path) -> None:
    added = await identities.add(ADA, "newton", [NewPhoto(b"secret pixels" * 500)], "mine")
    photo = (await identities.photos(added.id))[0]
    await identities.keep_features("adapter", {photo.id: b"secret numbers" * 500})
    await identities.delete(ADA, "newton")
    for table in ("identities", "id_photos", "id_features", "consents"):
        assert rows(file, f"SELECT count(*) FROM {table}") == [(0,)]
    await database.close()
    everything = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"secret" not in everything


async def test_autocompletion_finds_parts_of_names_and_takes_wildcards_literally(identities: IdentityStore) -> None:
    for name in ("Newton", "newt", "100 %", "Ünal"):
        await identities.add(ADA, name, PHOTOS, "mine")
    assert await identities.names(ADA, containing="NEWT") == ["Newton", "newt"]
    assert await identities.names(ADA, containing="%") == ["100 %"]
    assert await identities.names(ADA, containing="ü") == ["Ünal"]
    assert await identities.names(ADA, limit=1) == ["Newton"]


async def test_features_are_kept_by_the_adapter_that_made_them(identities: IdentityStore) -> None:
    added = await identities.add(ADA, "newton", PHOTOS, "mine")
    first, second = await identities.photos(added.id)
    await identities.keep_features("v1", {first.id: b"one", second.id: b"two", 999: b"of a photo deleted meanwhile"})
    await identities.keep_features("v2", {first.id: b"other"})
    assert [photo.features for photo in await identities.photos(added.id, "v1")] == [b"one", b"two"]
    assert [photo.features for photo in await identities.photos(added.id, "v2")] == [b"other", None]
