"""Everything stored that decides about one drawing, read at once."""

from __future__ import annotations

from storage import (
    Database,
    DrawContextStore,
    IdentityStore,
    Preferences,
    PreferenceStore,
    Rules,
    ServerStore,
    Share,
    SharingStore,
    UsableIdentity,
)
from tests.support.database import ADA, BOB, PHOTOS

GUILD = 7


async def test_a_stranger_has_nothing(database: Database) -> None:
    context = await DrawContextStore(database).load(ADA, GUILD, [None, "newton", 1])
    assert context.people == ((), (), ())
    assert (context.preferences, context.rules) == (Preferences(), Rules())


async def test_preferences_rules_and_people_come_together(database: Database, identities: IdentityStore) -> None:
    first = await identities.add(ADA, "newton", PHOTOS, "mine")
    second = await identities.add(ADA, "Lenna", PHOTOS, "mine")
    await PreferenceStore(database).change(ADA, style="Cinematic")
    await ServerStore(database).change(GUILD, is_paused=True)
    context = await DrawContextStore(database).load(ADA, GUILD, ["NEWTON", second.id, None, "nobody"])
    assert context.preferences.style == "Cinematic"
    assert context.rules.is_paused
    newton = UsableIdentity(first.id, ADA, "newton", "own")
    lenna = UsableIdentity(second.id, ADA, "Lenna", "own")
    assert context.people == ((newton,), (lenna,), (lenna,), ())
    await PreferenceStore(database).change(ADA, identity_id=first.id)
    assert (await DrawContextStore(database).load(ADA, None, [None])).people == ((newton,),)


async def test_ones_own_comes_first_then_older_shares_and_each_says_why(
    database: Database, identities: IdentityStore
) -> None:
    sharing = SharingStore(database)
    for owner in (ADA, BOB, 33, 44):
        await identities.add(owner, "newton", PHOTOS, "mine")
    await sharing.share(ADA, "newton", Share("server", GUILD))
    await sharing.share(33, "newton", Share("server", GUILD))
    await sharing.share(33, "newton", Share("member", BOB))
    store = DrawContextStore(database)
    ((*here,),) = (await store.load(BOB, GUILD, ["newton"])).people
    assert [(one.owner_id, one.access) for one in here] == [(BOB, "own"), (ADA, "server"), (33, "member")]
    ((*elsewhere,),) = (await store.load(BOB, None, ["newton"])).people
    assert [one.owner_id for one in elsewhere] == [BOB, 33]


async def test_a_default_that_was_taken_back_is_not_replaced_by_another_person(
    database: Database, identities: IdentityStore
) -> None:
    shared = await identities.add(ADA, "newton", PHOTOS, "mine")
    await identities.add(BOB, "lenna", PHOTOS, "mine")
    await SharingStore(database).share(ADA, "newton", Share("member", BOB))
    await PreferenceStore(database).change(BOB, identity_id=shared.id)
    await SharingStore(database).unshare(ADA, "newton")
    context = await DrawContextStore(database).load(BOB, GUILD, [None])
    assert context.people == ((),)
    assert context.preferences.identity_id == shared.id
