"""The bot is killed at any instant, again and again: whoever was told that their picture comes gets it, once.

``KILLS=100 pytest tests/end_to_end/test_kill.py`` kills a hundred times; ``KILL_SEED`` chooses when.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import Database, IdentityStore, NewPhoto
from tests.support import uploads
from tests.support.rest_double import MEMBER_ID, RestDouble
from tests.support.server import FICTION, rows

KILLS = int(os.environ.get("KILLS", "5"))
SEED = int(os.environ.get("KILL_SEED", "0"))
LOST_ANSWERS = 0.05
UNFINISHED = "SELECT 1 FROM jobs WHERE state IN ('queued', 'running', 'drawn') OR awaits_delivery"


class KillableBot:
    """A bot that can be killed and started again."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._pid = 0

    @classmethod
    async def prepare(cls, folder: Path, url: str) -> KillableBot:
        arguments = "-m", "tests.support.killable_bot", str(folder), url
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with (folder / "log.txt").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=PIPE, stdout=PIPE, stderr=log, env=environment
            )
        prepared = cls(process)
        assert await prepared._line() == "ready"
        return prepared

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def start(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._pid = int(await self._line())

    async def kill(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            assert int(await self._line()) == signal.SIGKILL, "it had ended before"
            self._pid = 0

    async def end(self) -> None:
        await self.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def at_rest(folder: Path) -> None:
    """Wait until there is a job, and all are delivered."""
    while not rows(folder, "SELECT 1 FROM jobs") or rows(folder, UNFINISHED):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


@pytest.fixture
async def double() -> AsyncIterator[RestDouble]:
    opened = RestDouble(SEED, LOST_ANSWERS)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def bot(tmp_path: Path, double: RestDouble) -> AsyncIterator[KillableBot]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'bot.db'}")
    await IdentityStore(database).add(MEMBER_ID, "newton", [NewPhoto(uploads.photo())], FICTION)
    await database.close()
    prepared = await KillableBot.prepare(tmp_path, double.url)
    yield prepared
    await prepared.end()


@pytest.mark.timeout(180 + 10 * KILLS)
async def test_who_was_told_that_their_picture_comes_gets_it_once(
    bot: KillableBot, double: RestDouble, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    await bot.start()
    double.use_command("imagine", prompt="a man img")
    await at_rest(tmp_path)
    await bot.kill()
    for _ in range(KILLS):
        double.is_asked.clear()
        await bot.start()
        if rng.random() < 0.8:
            await double.is_asked.wait()
        for _ in range(rng.randint(1, 2)):
            token = double.use_command("imagine", prompt="a man img", steps=rng.randint(1, 8))
            if rng.random() < 0.5:
                double.closed_tokens.add(token)
        await asyncio.sleep(rng.uniform(0.0, 2.0))
        await bot.kill()
        if rng.random() < 0.5:
            double.forget_nonces()
        while not double.feed.empty():
            double.feed.get_nowait()
    await bot.start()
    await at_rest(tmp_path)
    await bot.kill()

    jobs = rows(tmp_path, "SELECT id, state FROM jobs")
    assert {state for _, state in jobs} == {"delivered"}
    messages = [*double.replies.values(), *double.posts]
    for job_id, _ in jobs:
        holding = [one for one in messages if any(name.startswith(f"picture-{job_id}-") for name in one.files)]
        assert len(holding) == 1, f"job {job_id} is shown {len(holding)} times"
    told = [one for one in double.replies.values() if one.contents]
    posted = sum(any("picture-" in name for name in one.files) for one in double.posts)
    replied = sum(any("picture-" in name for name in one.files) for one in double.replies.values())
    assert len(told) <= replied + posted == len(jobs)
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    print(f"{KILLS} kills, {len(jobs)} jobs accepted, {len(told)} told, {replied} by reply, {posted} by message")
