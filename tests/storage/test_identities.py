"""Storage on real SQLite files."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import (
    Database,
    DuplicatePhotoError,
    IdentityStore,
    LimitReachedError,
    NewPhoto,
    NotFoundError,
    PhotoStore,
    Share,
    SharingStore,
    StorageError,
    StorageLimits,
)
from tests.support.database import ADA, BOB, PHOTOS, rows, url


async def test_an_identity_comes_back_as_it_was_added(identities: IdentityStore, photos: PhotoStore) -> None:
    added = await identities.add(ADA, "newton", PHOTOS, "Fictional person or work of art")
    assert await identities.find(ADA, "newton") == added
    assert (added.photo_count, added.declaration) == (2, "Fictional person or work of art")
    assert await photos.contents(added.id) == [b"first photo", b"second photo"]


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
    await identities.add(ADA, "newton", PHOTOS, "mine")
    for refused in (
        identities.find(BOB, "newton"),
        identities.find_accessible(BOB, None, "newton"),
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
    photo = NewPhoto(b"secret pixels" * 500, {"adapter": b"secret numbers" * 500})
    await identities.add(ADA, "newton", [photo], "mine")
    assert (await identities.delete(ADA, "newton")).is_final
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


async def test_features_are_kept_by_the_adapter_that_made_them(identities: IdentityStore, photos: PhotoStore) -> None:
    added = await identities.add(ADA, "newton", PHOTOS, "mine")

    async def features(fingerprint: str) -> list[bytes | None]:
        (found,) = await photos.features(ADA, None, [added.id], fingerprint)
        return [one.content for one in found]

    (found,) = await photos.features(ADA, None, [added.id], "v1")
    first, second = (one.photo_id for one in found)
    await photos.keep_features("v1", {first: b"one", second: b"two", 999: b"of a photo deleted meanwhile"})
    await photos.keep_features("v2", {first: b"other"})
    await photos.keep_features("v2", {first: b"computed anew"})
    assert await features("v1") == [b"one", b"two"]
    assert await features("v2") == [b"computed anew", None]


async def test_photos_and_their_features_are_stored_together(identities: IdentityStore, photos: PhotoStore) -> None:
    added = await identities.add(ADA, "newton", [NewPhoto(b"one", {"v1": b"1"})], "mine")
    await photos.add(ADA, "newton", [NewPhoto(b"two", {"v1": b"2"}), NewPhoto(b"three")])
    (found,) = await photos.features(ADA, None, [added.id], "v1")
    assert [one.content for one in found] == [b"1", b"2", None]
    assert await photos.contents_by_id([found[2].photo_id, 999]) == {found[2].photo_id: b"three"}


async def test_a_photo_belongs_to_an_identity_once(identities: IdentityStore, photos: PhotoStore) -> None:
    await identities.add(ADA, "newton", PHOTOS, "mine")
    with pytest.raises(DuplicatePhotoError, match="belongs to “newton” already"):
        await photos.add(ADA, "newton", [NewPhoto(b"new"), PHOTOS[1]])
    assert (await identities.find(ADA, "newton")).photo_count == 2


async def test_features_are_refused_for_what_is_gone_or_somebody_elses(
    identities: IdentityStore, photos: PhotoStore
) -> None:
    own = await identities.add(ADA, "newton", PHOTOS, "mine")
    other = await identities.add(BOB, "lenna", PHOTOS, "mine")
    for asked in ([other.id], [own.id, other.id], [999]):
        with pytest.raises(NotFoundError):
            await photos.features(ADA, None, asked, "v1")


async def test_what_can_be_drawn_is_read_in_pages_ones_own_first(identities: IdentityStore, database: Database) -> None:
    for name in ("lenna", "ada"):
        await identities.add(BOB, name, PHOTOS, "mine")
        await SharingStore(database).share(BOB, name, Share("server", 5))
    for name in ("newton", "euler"):
        await identities.add(ADA, name, PHOTOS, "mine")
    pages = [await identities.all_accessible(ADA, 5, 3, offset) for offset in (0, 3)]
    assert [[one.name for one in page] for page, _number in pages] == [["newton", "euler", "lenna"], ["ada"]]
    assert [number for _page, number in pages] == [4, 4]
    assert [one.name for one in await identities.newest_of(ADA)] == ["euler"]


async def test_a_member_has_no_more_identities_photos_and_bytes_than_they_may(database: Database) -> None:
    limits = StorageLimits(identities=2, photos=3, stored_bytes=10_000)
    identities, photos = IdentityStore(database, limits), PhotoStore(database, limits)
    await identities.add(ADA, "newton", [NewPhoto(bytes(4_000))], "mine")
    with pytest.raises(LimitReachedError, match="there is no room for these"):
        await identities.add(ADA, "euler", [NewPhoto(bytes(6_001))], "mine")
    with pytest.raises(LimitReachedError, match="there is no room for these"):
        await photos.add(ADA, "newton", [NewPhoto(bytes(6_001))])
    await photos.add(ADA, "newton", [NewPhoto(b"small"), NewPhoto(b"too")])
    with pytest.raises(LimitReachedError, match="3 are the most"):
        await photos.add(ADA, "newton", [NewPhoto(b"one more")])
    await identities.add(ADA, "euler", [NewPhoto(b"face")], "mine")
    with pytest.raises(LimitReachedError, match="You have 2 identities, which is the most"):
        await identities.add(ADA, "lenna", [NewPhoto(b"face")], "mine")
    await identities.add(BOB, "lenna", [NewPhoto(bytes(9_000))], "mine")
