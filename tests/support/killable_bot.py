"""Bots to kill: ``python -m tests.support.killable_bot FOLDER API GATEWAY`` forks ``photomaker-bot run`` with the tiny
model for each line of its input, prints its process id, and how it ended when it has ended.

Loading the libraries takes longer than drawing; a fork has them from the start.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.support.discord_double import TOKEN, connecting_to

if TYPE_CHECKING:
    from bot.app import PhotoMakerBot
    from tests.support.gpu_faults import FaultySteps

_READING, _FAULT = "reading.json", "fault.txt"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a bot at rest holds; ``views`` with the forms."""

    memory_mib: float
    handles: int
    tasks: int
    views: int
    jobs: int


class KillableBot:
    """A bot that can be killed and started again. ``log`` is where it writes."""

    def __init__(self, process: Process, folder: Path) -> None:
        self._process, self._folder = process, folder
        self.log = folder / "log.txt"
        self._pid = 0
        self._ending: asyncio.Task[str]

    @classmethod
    async def prepare(cls, folder: Path, api_url: str, gateway_url: str) -> KillableBot:
        """Load the libraries; the database will lie in ``folder``."""
        arguments = "-m", "tests.support.killable_bot", str(folder), api_url, gateway_url
        ours = {"DISCORD_TOKEN": TOKEN, "DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'bot.db'}"}
        limits = dict.fromkeys(("MAX_OPEN_JOBS", "MAX_PICTURES_A_DAY", "MAX_SERVER_OPEN_JOBS"), "0")
        limits |= {"MAX_SERVER_PICTURES_A_DAY": "0", "MAX_UPLOADS_AN_HOUR": "0", "MAX_IDENTITIES": "10000"}
        others = {name: value for name, value in os.environ.items() if not name.startswith(("DISCORD_", "PHOTOMAKER_"))}
        environment = others | ours | limits | {"OMP_NUM_THREADS": "1"}
        with (folder / "log.txt").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=PIPE, stdout=PIPE, stderr=log, env=environment
            )
        prepared = cls(process, folder)
        assert await prepared._line() == "ready", prepared.log.read_text()
        return prepared

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def start(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._pid = int(await self._line())
        self._ending = asyncio.create_task(self._line())

    async def until(self, waiting: Awaitable[object]) -> None:
        """Wait for something that happens while the bot lives; fails where the bot ends first."""
        task = asyncio.ensure_future(waiting)
        await asyncio.wait([task, self._ending], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise AssertionError(f"the bot has ended:\n{self.log.read_text()[-2000:]}")
        task.result()

    async def kill(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            assert int(await self._ending) == signal.SIGKILL, f"it had ended before:\n{self.log.read_text()[-2000:]}"
            self._pid = 0

    def break_next_step(self, how: Literal["memory", "error", "nan"]) -> None:
        """Let the next step of the model fail so."""
        (self._folder / _FAULT).write_text(how)
        os.kill(self._pid, signal.SIGUSR2)

    async def reading(self, jobs: int) -> Reading:
        """What the bot holds now; ``jobs`` is the caller's count."""
        path = self._folder / _READING
        path.unlink(missing_ok=True)
        os.kill(self._pid, signal.SIGUSR1)
        while not path.exists():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.02)
        inside = json.loads(path.read_text())
        process = Path("/proc") / str(self._pid)
        resident = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        handles = sum(1 for _ in (process / "fd").iterdir())
        return Reading(resident / 2**20, handles, inside["tasks"], inside["views"], jobs)

    async def end(self) -> None:
        """Kill the bot, and the process that it is forked from."""
        await self.kill()
        self._process.kill()
        await self._process.wait()


def _listen(bot: PhotoMakerBot, steps: FaultySteps, folder: Path) -> None:
    """Let signals ask for a reading, and break the next step."""

    def write_reading() -> None:
        gc.collect()
        store = bot._connection._view_store
        views = len(store._modals) + sum(len(one) for one in store._views.values())
        unfinished = folder / f"{_READING}.part"
        unfinished.write_text(json.dumps({"tasks": len(asyncio.all_tasks()), "views": views}))
        unfinished.rename(folder / _READING)

    def break_next_step() -> None:
        steps.once = (folder / _FAULT).read_text()  # type: ignore[assignment]

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, write_reading)
    loop.add_signal_handler(signal.SIGUSR2, break_next_step)


def main(folder: Path, api_url: str, gateway_url: str) -> None:
    import pytest
    import torch

    from bot import cli
    from bot.app import PhotoMakerBot
    from bot.services import delivery, jobs, open_jobs
    from bot.views import persistent
    from photomaker_core.library_logging import quiet_libraries
    from photomaker_core.loading.adapter import load_adapter
    from photomaker_core.loading.base_model import load_base
    from photomaker_core.loading.photomaker import PhotoMaker
    from tests.support.gpu_faults import FaultySteps
    from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE

    torch.set_num_threads(1)
    quiet_libraries()
    os.chdir(folder)
    model = PhotoMaker(load_base(str(TINY_BASE), CPU), load_adapter(TINY_ADAPTER))
    jobs.MOST_ATTEMPTS = sys.maxsize  # type: ignore[misc]
    delivery.FIRST_WAIT_S = 0.05
    open_jobs.EDIT_INTERVAL_S = 0.1
    persistent.FORM_TIMEOUT_S = 4.0  # type: ignore[misc]
    steps = FaultySteps(pytest.MonkeyPatch())

    class ListeningBot(PhotoMakerBot):
        async def setup_hook(self) -> None:
            await super().setup_hook()
            _listen(self, steps, folder)

    print("ready", flush=True)
    for _line in sys.stdin:
        child = os.fork()
        if not child:
            with connecting_to(api_url, gateway_url):
                status = cli.main(["run"], make_bot=lambda settings: ListeningBot(settings, load=lambda: model))
            os._exit(status)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
