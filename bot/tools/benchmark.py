"""Benchmark of the bot's first responses while the GPU thread is saturated: ``python -m bot.tools.benchmark``.

Fifty members use commands, autocompletion and buttons in a simulated Discord, with the real bot and the nano model
drawing all the time. What counts is the wall clock from the dispatch of an interaction to the bot's first response;
Discord gives up after three seconds. Needs the extra ``demo``.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from discord.webhook.async_ import AsyncWebhookAdapter

from bot.app import PhotoMakerBot
from bot.config import load_settings
from bot.domain.consent import FICTION
from photomaker_core.library_logging import quiet_libraries

_MEMBERS: Final = 50
_ROUNDS: Final = 4
_BUSY_JOBS: Final = 8
_STEPS: Final = 100


class _Stopwatch:
    """Notes when the bot first answers an interaction."""

    def __init__(self) -> None:
        self.answered_s = 0.0
        self._respond = AsyncWebhookAdapter.create_interaction_response

    def __enter__(self) -> _Stopwatch:
        respond, watch = self._respond, self

        def noting(adapter: AsyncWebhookAdapter, *args: Any, **how: Any) -> Any:
            watch.answered_s = watch.answered_s or time.perf_counter()
            return respond(adapter, *args, **how)

        AsyncWebhookAdapter.create_interaction_response = noting  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_exception: object) -> None:
        AsyncWebhookAdapter.create_interaction_response = self._respond  # type: ignore[method-assign]


async def measure(folder: Path) -> dict[str, list[float]]:
    """Seconds to the acknowledgement, by kind of interaction."""
    import simcord

    from bot.tools.demo import write_samples

    samples = await asyncio.to_thread(write_samples, folder / "samples")
    photo = await asyncio.to_thread((samples / "ada-1.png").read_bytes)
    settings = load_settings(None, database_url=f"sqlite+aiosqlite:///{folder / 'bot.db'}", max_steps=1000)
    bot = PhotoMakerBot(settings)
    found: dict[str, list[float]] = {}
    rng = random.Random(0)
    try:
        async with simcord.run(bot, settle_timeout=120.0, check_errors=False) as env:
            guild = env.create_guild("Studio")
            channel = guild.create_text_channel("pictures")
            members = [guild.add_member(env.create_user(f"member{number}")) for number in range(_MEMBERS)]
            await asyncio.wrap_future(bot.gpu.loaded)
            for member in members:
                await member.slash(channel, "identity add", name="ada", consent=FICTION, photo1=("ada.png", photo))
            for _ in range(_ROUNDS):
                for member in members:
                    if bot.jobs.open_count < _BUSY_JOBS:
                        await member.slash(channel, "imagine", prompt="a woman img", steps=_STEPS)
                    kind, act = rng.choice(
                        [
                            ("/queue", lambda who=member: who.slash(channel, "queue")),
                            ("/identity list", lambda who=member: who.slash(channel, "identity list")),
                            ("/identity show", lambda who=member: who.slash(channel, "identity show", name="ada")),
                            ("/imagine", lambda who=member: who.slash(channel, "imagine", prompt="a woman img")),
                            ("/history", lambda who=member: who.slash(channel, "history")),
                            (
                                "autocompletion",
                                lambda who=member: who.autocomplete(channel, "imagine", "identity", "a"),
                            ),
                        ]
                    )
                    with _Stopwatch() as watch:
                        started_s = time.perf_counter()
                        await act()  # type: ignore[no-untyped-call]
                    found.setdefault(kind, []).append(watch.answered_s - started_s)
    finally:
        await bot.close()
    return found


def report(found: dict[str, list[float]]) -> str:
    """A Markdown table of milliseconds."""
    lines = ["| interaction | times | median (ms) | p99 (ms) | worst (ms) |", "| --- | --- | --- | --- | --- |"]
    every = [one for times in found.values() for one in times]
    for kind, times in [*sorted(found.items()), ("all", every)]:
        p99 = statistics.quantiles(times, n=100, method="inclusive")[98] if len(times) > 1 else times[0]
        cells = (statistics.median(times), p99, max(times))
        lines.append(f"| {kind} | {len(times)} | " + " | ".join(f"{1000 * one:.0f}" for one in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    quiet_libraries()
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(report(asyncio.run(measure(Path(place)))) + "\n")
