"""Bots to kill: ``python -m tests.support.killable_bot FOLDER URL`` forks one with the tiny model for each line of its
input, prints its process id, and how it ended when it has ended.

Loading the libraries takes longer than drawing; a fork has them from the start.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import torch
from discord.http import Route

from bot.app import PhotoMakerBot
from bot.services import delivery, jobs, open_jobs
from photomaker_core.library_logging import quiet_libraries
from photomaker_core.loading.adapter import load_adapter
from photomaker_core.loading.base_model import load_base
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.server import settings
from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE


async def run(folder: Path, url: str, model: PhotoMaker) -> None:
    """The real bot without a gateway: interactions come from the double's feed."""
    bot = PhotoMakerBot(settings(folder), load=lambda: model)
    async with bot, aiohttp.ClientSession() as session:
        await bot.login("token")
        while True:
            async with session.get(f"{url}/feed") as answer:
                bot._connection.parse_interaction_create(await answer.json())


def main(folder: Path, url: str) -> None:
    torch.set_num_threads(1)
    quiet_libraries()
    model = PhotoMaker(load_base(str(TINY_BASE), CPU), load_adapter(TINY_ADAPTER))
    Route.BASE = url
    jobs.MOST_ATTEMPTS = sys.maxsize  # type: ignore[misc]
    delivery.FIRST_WAIT_S = 0.05
    open_jobs.EDIT_INTERVAL_S = 0.1
    print("ready", flush=True)
    for _line in sys.stdin:
        child = os.fork()
        if not child:
            asyncio.run(run(folder, url, model))
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
