"""A process that is killed in the middle of its work leaves every identity whole or not there."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from storage import Database
from tests.support.database import rows, url

_KILLS = 4

_WORK = """
import asyncio, sys
from storage import Database, IdentityStore, NewPhoto, PhotoStore
async def work():
    database = await Database.open(sys.argv[1], exclusive=True)
    identities, photos = IdentityStore(database), PhotoStore(database)
    print("working", flush=True)
    number = 0
    while True:
        number += 1
        name = f"{sys.argv[2]} {number}"
        new = [NewPhoto(b"%d" % one * 5000, {"v1": bytes(8192)}) for one in range(3)]
        await identities.add(1, name, new[:2], "mine")
        await photos.add(1, name, new[2:])
        if number % 3 == 0:
            await identities.delete(1, name)
asyncio.run(work())
"""


async def test_a_killed_process_leaves_nothing_half_done(file: Path) -> None:
    chance = random.Random(1)
    for kill in range(_KILLS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WORK, url(file), str(kill), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"working\n"
        await asyncio.sleep(chance.uniform(0.02, 0.4))
        process.kill()
        await process.wait()
        photos = rows(
            file,
            "SELECT count(DISTINCT id_photos.id), count(DISTINCT id_features.photo_id), count(DISTINCT consents.id)"
            " FROM identities"
            " LEFT JOIN id_photos ON id_photos.identity_id = identities.id"
            " LEFT JOIN id_features ON id_features.photo_id = id_photos.id"
            " LEFT JOIN consents ON consents.identity_id = identities.id GROUP BY identities.id",
        )
        assert set(photos) <= {(2, 2, 1), (3, 3, 2)}
        assert rows(file, "PRAGMA foreign_key_check") == []
    assert photos
    await (await Database.open(url(file), exclusive=True)).close()
