"""The bot is killed at any instant, again and again, while several members use it over HTTP and the gateway.

Whoever was told that their picture comes gets it, once; people who were added are there, and whole.

``KILLS=100 pytest tests/end_to_end/test_kill.py`` kills a hundred times; ``KILL_SEED`` chooses when.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
from pathlib import Path

import pytest

from tests.support.discord_double import DiscordDouble, Interaction, User, answer, cut, reset
from tests.support.doubled_bot import NOT_AT_REST
from tests.support.killable_bot import KillableBot
from tests.support.server import FICTION, rows, until, upload

KILLS = int(os.environ.get("KILLS", "5"))
SEED = int(os.environ.get("KILL_SEED", "0"))
FAULTS = 0.04
MEMBERS = 4
IDENTITIES = """
    SELECT count(DISTINCT id_photos.id), count(id_features.photo_id), count(DISTINCT consents.id) FROM identities
    LEFT JOIN id_photos ON id_photos.identity_id = identities.id
    LEFT JOIN id_features ON id_features.photo_id = id_photos.id
    LEFT JOIN consents ON consents.identity_id = identities.id GROUP BY identities.id
"""


class Crowd:
    """Members who draw, add people and cancel, at random. ``drawings`` are their commands by the seed of each."""

    def __init__(self, double: DiscordDouble, rng: random.Random) -> None:
        self._double, self._rng = double, rng
        self._members = [double.ada, double.bob, *(double.world.add_user(f"member {one}") for one in range(2, MEMBERS))]
        self.drawings: dict[int, Interaction] = {}
        self.additions: list[Interaction] = []

    async def arrive(self) -> None:
        """Add one identity for each member, without any fault."""
        for member in self._members:
            added = await self._add(member)
            await until(lambda added=added: added.said)

    async def _add(self, member: User) -> Interaction:
        name = f"person {len(self.additions)}"
        options = {"name": name, "consent": FICTION, "photo1": upload(len(self.additions))}
        self.additions.append(await self._double.slash(member, "identity add", **options))
        return self.additions[-1]

    async def act(self) -> None:
        """Let somebody do something."""
        member, chance = self._rng.choice(self._members), self._rng.random()
        if chance < 0.1:
            await self._add(member)
        elif chance < 0.25 and (open_ones := [one for one in self.drawings.values() if _offers_cancel(one)]):
            chosen = self._rng.choice(open_ones)
            await self._double.click(chosen.user, chosen.reply, "Cancel")
        else:
            await self.draw(member)

    async def draw(self, member: User | None = None) -> None:
        seed = len(self.drawings) + 1
        member = member or self._members[0]
        name, steps = f"person {self._members.index(member)}", self._rng.randint(1, 8)
        options = {"prompt": "a man img", "identity": name, "steps": steps, "seed": seed}
        self.drawings[seed] = await self._double.slash(member, "imagine", **options)

    def lose_tokens(self) -> None:
        """Let the tokens of some commands end, whatever the bot is doing with them."""
        for one in self.drawings.values():
            one.is_expired = one.is_expired or self._rng.random() < 0.2


def _offers_cancel(one: Interaction) -> bool:
    return one.reply is not None and "Cancel" in json.dumps(one.reply.components)


@pytest.mark.timeout(180 + 10 * KILLS)
async def test_who_was_told_that_their_picture_comes_gets_it_once(
    killable: tuple[DiscordDouble, KillableBot], tmp_path: Path
) -> None:
    double, bot = killable
    rng = random.Random(SEED)
    crowd = Crowd(double, rng)
    await bot.start()
    await bot.until(double.gateway.is_ready.wait())
    await bot.until(crowd.arrive())
    await crowd.draw()
    await bot.until(until(lambda: rows(tmp_path, "SELECT 1 FROM jobs")))
    double.faults.often(FAULTS, SEED, reset(), reset(late=True), cut(), answer(503), answer(503, late=True))
    for _ in range(KILLS):
        await asyncio.sleep(rng.uniform(0.0, 1.5))
        await bot.kill()
        if rng.random() < 0.5:
            double.world.forget_nonces()
        crowd.lose_tokens()
        double.gateway.is_ready.clear()
        await bot.start()
        if rng.random() < 0.8:
            await bot.until(double.gateway.is_ready.wait())
        for _ in range(rng.randint(1, MEMBERS)):
            await crowd.act()
            await asyncio.sleep(rng.uniform(0.0, 0.2))
    double.faults.clear()
    await bot.until(double.gateway.is_ready.wait())
    await bot.until(until(lambda: not rows(tmp_path, NOT_AT_REST)))
    await bot.kill()
    check_jobs(double, crowd, tmp_path)
    identities = rows(tmp_path, IDENTITIES)
    told = sum(any("Added" in said for said in one.said) for one in crowd.additions)
    assert set(identities) == {(1, 1, 1)}
    assert told <= len(identities) <= len(crowd.additions)
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert double.complaints() == []
    print(f"{KILLS} kills, {len(identities)} of {len(crowd.additions)} identities, {told} told")


def check_jobs(double: DiscordDouble, crowd: Crowd, folder: Path) -> None:
    """Every job that was accepted has ended with word to its member, and every picture is shown once."""
    states = {
        json.loads(str(request))["seed"]: (job_id, state)
        for job_id, state, request in rows(folder, "SELECT id, state, request FROM jobs")
    }
    replied = posted = cancelled = 0
    for seed, drawing in crowd.drawings.items():
        said = drawing.said
        if seed not in states:
            assert not any("⏳" in one for one in said), f"drawing {seed} was accepted and is lost"
            continue
        job_id, state = states[seed]
        shown = double.world.showing(f"picture-{job_id}-")
        if state == "cancelled":
            cancelled += 1
            assert shown == [], f"job {job_id} was cancelled and is shown"
            assert said[-1:] == ["Cancelled."] or _posted(double, job_id), f"job {job_id}: nobody was told: {said}"
            continue
        assert state == "delivered", f"job {job_id} is {state}"
        assert len(shown) == 1, f"job {job_id} is shown {len(shown)} times"
        replied, posted = replied + (shown[0] is drawing.reply), posted + (shown[0] is not drawing.reply)
    told = sum(
        one.reply is not None and any("⏳" in said for said in one.reply.said) for one in crowd.drawings.values()
    )
    print(
        f"{len(crowd.drawings)} commands, {len(states)} jobs accepted, {told} told so, {replied} shown in the reply, "
        f"{posted} in a message, {cancelled} cancelled"
    )


def _posted(double: DiscordDouble, job_id: int) -> bool:
    """Whether a message was sent for a job whose reply could not be changed any more."""
    return any(one.nonce == f"photomaker-{job_id}" for one in double.world.messages.values())
