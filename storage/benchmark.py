"""Measures how the lookups of a command grow with the number of stored identities: ``python -m storage.benchmark``."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from sqlalchemy import insert

from storage.database import Database
from storage.identities import IdentityStore, NewPhoto, name_key
from storage.models import Consent, Identity, IdFeature, IdPhoto, User
from storage.photos import PhotoStore

SIZES: Final = (100, 10_000, 100_000)
_EACH: Final = 10
_REPEATS: Final = 200
_FINGERPRINT: Final = "benchmark"
_FEATURES: Final = bytes(2048 * 4)
_CHUNK: Final = 10_000


async def fill(database: Database, first: int, identities: int) -> None:
    """Store identities number ``first`` to ``identities``, ten a member, each with a photo and its features."""
    for start in range(first, identities, _CHUNK):
        numbers = range(start, min(start + _CHUNK, identities))
        async with database.transaction() as session:
            users = [{"id": owner} for owner in dict.fromkeys(1 + number // _EACH for number in numbers)]
            await session.execute(insert(User), users)
            named = [
                {
                    "id": 1 + number,
                    "owner_id": 1 + number // _EACH,
                    "name": f"person {number}",
                    "name_key": name_key(f"person {number}"),
                }
                for number in numbers
            ]
            await session.execute(insert(Identity), named)
            consents = [
                {"identity_id": one["id"], "user_id": one["owner_id"], "declaration": "I am this person"}
                for one in named
            ]
            await session.execute(insert(Consent), consents)
            photos = [
                {"id": one["id"], "identity_id": one["id"], "position": 0, "content": bytes(1000)} for one in named
            ]
            await session.execute(insert(IdPhoto), photos)
            features = [{"photo_id": one["id"], "fingerprint": _FINGERPRINT, "content": _FEATURES} for one in named]
            await session.execute(insert(IdFeature), features)


async def measure(database: Database, identities: int) -> dict[str, float]:
    """Median seconds of what a drawing, an autocompletion and an addition ask of the database."""
    store, photos = IdentityStore(database), PhotoStore(database)
    owner, number = 1 + (identities // 2) // _EACH, identities // 2
    return {
        "find by name": await _median_s(lambda: store.find(owner, f"person {number}")),
        "find what one may draw": await _median_s(lambda: store.find_accessible(owner, 1, f"person {number}")),
        "autocomplete": await _median_s(lambda: store.names(owner, containing=str(number)[-1])),
        "list": await _median_s(lambda: store.all_of(owner)),
        "features": await _median_s(lambda: photos.features(owner, 1, [1 + number], _FINGERPRINT)),
        "add and delete": await _median_s(lambda: _add_and_delete(store, owner)),
    }


async def _add_and_delete(store: IdentityStore, owner: int) -> None:
    await store.add(owner, "newcomer", [NewPhoto(bytes(50_000))], "I am this person")
    await store.delete(owner, "newcomer")


async def _median_s(work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(_REPEATS):
        started_s = time.perf_counter()
        await work()
        times.append(time.perf_counter() - started_s)
    return statistics.median(times)


async def report() -> str:
    """A Markdown table of milliseconds at each size."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite+aiosqlite:///{Path(folder) / 'bench.db'}")
        stored = 0
        for size in SIZES:
            await fill(database, stored, size)
            stored = size
            found = await measure(database, size)
            if not lines:
                lines += ["| stored identities | " + " | ".join(f"{name} (ms)" for name in found) + " |"]
                lines += ["| --- " * (len(found) + 1) + "|"]
            lines += [f"| {size} | " + " | ".join(f"{1000 * seconds:.2f}" for seconds in found.values()) + " |"]
        await database.close()
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(report()) + "\n")
