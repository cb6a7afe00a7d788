"""The worker process is killed at any instant, again and again, while members ask for pictures and add people.

``WORKER_KILLS=30 pytest tests/end_to_end/test_worker_kill.py`` kills thirty times; ``KILL_SEED`` chooses when.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import simcord

from bot.app import PhotoMakerBot
from bot.workers.gpu_process import GpuProcess
from bot.workers.watchdog import Watchdog
from tests.support.server import FICTION, Server, rows, settings, until, upload
from tests.support.worker_process import POISONED_PX, Forks, load_tiny

KILLS = int(os.environ.get("WORKER_KILLS", "4"))
SEED = int(os.environ.get("KILL_SEED", "0"))
KILLED = "stopped me twice"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    opened = Forks()
    yield opened
    opened.close()


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    folder = tmp_path / "faults"
    folder.mkdir()
    return folder


@pytest.fixture
async def killable(server: Server, tmp_path: Path, forks: Forks, faults: Path) -> GpuProcess:
    """The server's bot with a worker process."""
    bot = PhotoMakerBot(settings(tmp_path, max_open_jobs=0, max_server_open_jobs=0))
    watchdog = Watchdog(least_s=60, first_s=60, check_every_s=0.2)
    worker = bot.gpu = GpuProcess(partial(load_tiny, faults), 4, watchdog, first_pause_s=0.05, start=forks.start)
    await server.restart(bot)
    await server.quiet()
    return worker


def kill(worker: GpuProcess) -> bool:
    process_id = worker.process_id
    if process_id is None:
        return False
    try:
        os.kill(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


async def kill_after(worker: GpuProcess, pause_s: float) -> None:
    await asyncio.sleep(pause_s)
    await until(lambda: kill(worker))


async def ask(server: Server, member: simcord.MemberActor, **options: Any) -> simcord.ResponseMessage:
    result = await member.slash(server.channel, "imagine", **{"prompt": "a man img", **options})
    assert result.response is not None
    return result.response


async def add(server: Server, member: simcord.MemberActor, name: str, seed: int) -> str:
    options = {"name": name, "consent": FICTION, "photo1": upload(seed)}
    result = await member.slash(server.channel, "identity add", **options)
    assert result.response is not None
    return result.response.content


@pytest.mark.timeout(120 + 20 * KILLS)
async def test_every_job_ends_with_its_picture_or_a_sentence_and_nothing_comes_twice(
    server: Server, killable: GpuProcess, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    guild = server.env.guild
    members = [server.ada, server.bob, *(guild.add_member(server.env.create_user(f"member{n}")) for n in range(2))]
    for member in members:
        await server.add(member, "newton")
    replies: list[simcord.ResponseMessage] = []
    added: dict[str, str] = {}
    for number in range(KILLS):
        killing = asyncio.create_task(kill_after(killable, rng.uniform(0, 2)))
        for member in rng.sample(members, rng.randint(1, len(members))):
            how = {"steps": rng.randint(2, 30), "count": rng.randint(1, 2)}
            replies.append(await ask(server, member, **how))
        if rng.random() < 0.5:
            added[f"person{number}"] = await add(server, rng.choice(members), f"person{number}", number)
        await killing
    await server.quiet()

    accepted = [reply for reply in replies if "does not help yet" not in reply.content]
    states = Counter(state for (state,) in rows(tmp_path, "SELECT state FROM jobs"))
    assert set(states) <= {"delivered", "failed"}
    assert states.total() == len(accepted)
    drawn = [reply for reply in accepted if reply.attachments]
    assert all(KILLED in reply.content for reply in accepted if not reply.attachments)
    assert len(drawn) == states["delivered"]
    shown = [file.filename for message in server.channel.history() for file in message.attachments]
    pictures = [name for name in shown if name.startswith("picture-")]
    assert len(set(pictures)) == len(pictures)
    stored = {name for (name,) in rows(tmp_path, "SELECT name FROM identities WHERE name != 'newton'")}
    assert stored == {name for name, text in added.items() if text.startswith("Added")}
    assert all(text.startswith("Added") or KILLED in text or "does not help yet" in text for text in added.values())
    again = await ask(server, server.ada)
    await server.quiet()
    assert again.attachments
    print(f"{KILLS} kills, {dict(states)}, {len(replies) - len(accepted)} refused, {len(stored)} people added")


async def test_a_poisoned_job_is_told_and_the_others_get_their_pictures(
    server: Server, killable: GpuProcess, tmp_path: Path, faults: Path
) -> None:
    await server.add(server.ada, "newton")
    await server.add(server.bob, "newton")
    side = killable.loaded.result().side_px
    assert side == POISONED_PX
    (faults / "poison").touch()
    good = [await ask(server, server.bob, aspect="5:6 portrait") for _ in range(2)]
    poisoned = await ask(server, server.ada, aspect="1:1 square")
    good.append(await ask(server, server.bob, aspect="5:6 portrait"))
    await server.quiet()
    assert KILLED in poisoned.content
    assert all(reply.attachments for reply in good)
    states = rows(tmp_path, "SELECT state, attempts FROM jobs ORDER BY id")
    assert [state for state, _ in states] == ["delivered", "delivered", "failed", "delivered"]
    assert max(int(str(attempts)) for _, attempts in states) <= 2


async def test_a_step_that_hangs_is_told_and_drawn_again(server: Server, killable: GpuProcess, faults: Path) -> None:
    await server.add(server.ada, "newton")
    (faults / "hangs").touch()
    (faults / "no load").touch()
    killable._watchdog = Watchdog(least_s=0.5, first_s=0.5, factor=0.1, check_every_s=0.05)
    kill(killable)
    running = await ask(server, server.ada)
    await until(lambda: "Drawing has stopped" in running.content)
    (faults / "no load").unlink()
    await until(lambda: killable.trouble is None and killable.process_id)
    late = await ask(server, server.ada)
    (faults / "hangs").unlink()
    await server.quiet()
    assert running.attachments
    assert late.attachments
