"""A server's day, shortened: members who come as a Poisson process, faults now and then, and what is watched."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import simcord
from discord.webhook.async_ import AsyncWebhookAdapter
from simcord import interactions
from simcord.backend.errors import BackendError, SetupError

from tests.support import uploads
from tests.support.faults import Fault, Faults, answer
from tests.support.gpu_faults import FaultySteps
from tests.support.server import FICTION, Server, rows, upload

_REFUSED: Final = (BackendError, SetupError)
_PROMPTS: Final = ("a man img", "a woman img in the sea", "a girl img, rain", "a tree", "a man img in a red hat")
_ALL_PATHS: Final = "*"
_HTTP_FAULTS: Final = (
    *(answer(status) for status in (500, 502, 503)),
    *(answer(404, code) for code in (10003, 10008, 10015)),
    answer(403, 50001),
    answer(401, 50027),
    Fault("reset", ConnectionResetError("a fault")),
    Fault("timeout", TimeoutError("a fault")),
)


class Acknowledgements:
    """Seconds from an interaction's arrival to the bot's first answer, by the wall clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self._arrived_s: dict[int, float] = {}
        payload_of, respond = interactions.base_payload, AsyncWebhookAdapter.create_interaction_response

        def arriving(*arguments: Any, **options: Any) -> Any:
            record, payload = payload_of(*arguments, **options)
            self._arrived_s[int(payload["id"])] = time.perf_counter()
            return record, payload

        def noting(adapter: AsyncWebhookAdapter, interaction_id: int, *arguments: Any, **options: Any) -> Any:
            arrived_s = self._arrived_s.pop(interaction_id, None)
            if arrived_s is not None:
                self.seconds.append(time.perf_counter() - arrived_s)
            return respond(adapter, interaction_id, *arguments, **options)

        monkeypatch.setattr(interactions, "base_payload", arriving)
        monkeypatch.setattr(AsyncWebhookAdapter, "create_interaction_response", noting)

    @property
    def waiting(self) -> int:
        """How many interactions have no answer."""
        return len(self._arrived_s)

    @property
    def p99(self) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the bot holds at the end of an hour, when it rests."""

    memory_mib: float
    handles: int
    tasks: int
    views: int
    jobs: int
    database_kib: int


@dataclass
class Day:
    """Hours of a server with many members. ``fault_share`` of what they do meets a fault, of a random kind.

    The simulated Discord hands over one interaction at a time; what the bot does for them goes on side by side.
    """

    server: Server
    folder: Path
    rng: random.Random
    members: list[simcord.MemberActor]
    faults: Faults
    steps: FaultySteps
    fault_share: float = 0.01
    done: Counter[str] = field(default_factory=Counter)
    readings: list[Reading] = field(default_factory=list)
    _shown: list[tuple[simcord.MemberActor, simcord.ResponseMessage]] = field(default_factory=list)
    _begun: list[asyncio.Task[None]] = field(default_factory=list)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def hour(self, number: int, arrivals: float, seconds: float) -> None:
        """About so many arrivals in so many real seconds, more in the evening than at night; then let all of it end."""
        rate = arrivals / seconds * (1 + 0.8 * math.sin((number - 14) / 24 * 2 * math.pi))
        ends_s = time.perf_counter() + seconds
        while time.perf_counter() < ends_s:
            await asyncio.sleep(self.rng.expovariate(rate))
            self._begun.append(asyncio.create_task(self._arrive()))
        while self._begun:
            begun, self._begun = self._begun, []
            await asyncio.gather(*begun)
        self.faults.clear()
        await self.server.quiet()
        self.readings.append(self._reading())

    async def _arrive(self) -> None:
        if self.rng.random() < self.fault_share:
            self._break_something()
        member = self.rng.choice(self.members)
        act = self.rng.choices((self._draw, self._look, self._click, self._add), (5, 3, 5, 2))[0]
        async with self._one_at_a_time:
            self.done[act.__name__.strip("_")] += 1
            try:
                await act(member)
            except _REFUSED:
                self.done["not offered"] += 1

    async def _draw(self, member: simcord.MemberActor) -> None:
        command, options = self.rng.choice(
            [
                ("imagine", {"prompt": self.rng.choice(_PROMPTS)}),
                ("imagine", {"prompt": self.rng.choice(_PROMPTS), "count": 2, "steps": 5}),
                ("edit", {"hat": "cap"}),
                ("mix", {"id1": "one", "id2": "two"}),
                ("together", {"id1": "one", "id2": "two", "prompt": "a man img and a woman img"}),
            ]
        )
        await self._use(member, command, options)

    async def _look(self, member: simcord.MemberActor) -> None:
        command = self.rng.choice(
            ("queue", "history", "identity list", "privacy show", "settings", "prompt list", "help")
        )
        await self._use(member, command, {})

    async def _add(self, member: simcord.MemberActor) -> None:
        photo = upload(self.rng.randrange(40)) if self.rng.random() < 0.9 else ("cut.jpg", uploads.photo()[:700])
        name = self.rng.choice(("one", "two", "three"))
        await self._use(member, "identity add", {"name": name, "consent": FICTION, "photo1": photo})
        if self.rng.random() < 0.2:
            await self._use(member, "identity delete", {"name": "three"})

    async def _click(self, member: simcord.MemberActor) -> None:
        self._shown = self._shown[-60:]
        if not self._shown:
            return
        owner, message = self.rng.choice(self._shown)
        member = owner if self.rng.random() < 0.85 else member
        found = [one for row in message.components for one in row.get("components", []) if one.get("label")]
        if not found:
            return
        button = self.rng.choice(found)
        result = await member.click(message, custom_id=button["custom_id"])
        self.done[f"click {button['label']}"] += 1
        self._keep(member, result)
        if result.modal is not None and self.rng.random() < 0.5:  # The others close the form.
            prompts = {"prompt": "a man img", "negative": "", "seed": "", "name": "kept", "reason": "no"}
            wanted = [(row.get("component") or row["components"][0])["custom_id"] for row in result.modal["components"]]
            if set(wanted) <= set(prompts):
                await member.submit_modal(result, {one: prompts[one] for one in wanted})

    async def _use(self, member: simcord.MemberActor, command: str, options: dict[str, Any]) -> None:
        self._keep(member, await member.slash(self.server.channel, command, **options))

    def _keep(self, member: simcord.MemberActor, result: simcord.InteractionResult) -> None:
        if result.response is not None and result.response.components:
            self._shown.append((member, result.response))

    def _break_something(self) -> None:
        kind = self.rng.choice(("http", "http", "http", "memory", "error", "nan", "database"))
        self.done[f"fault: {kind}"] += 1
        if kind == "http":
            self.faults.at(self.rng.choice(("PATCH", "POST")), _ALL_PATHS, self.rng.choice(_HTTP_FAULTS))
        elif kind == "database":
            self._lock_database()
        else:
            self.steps.once = kind

    def _lock_database(self) -> None:
        """Another process writes for a while."""

        def lock() -> None:
            connection = sqlite3.connect(self.folder / "bot.db", timeout=10, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                time.sleep(0.7)
                connection.execute("ROLLBACK")
            finally:
                connection.close()

        self._begun.append(asyncio.create_task(asyncio.to_thread(lock)))

    def _reading(self) -> Reading:
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        store = self.server.bot._connection._view_store
        views = len(store._modals) + sum(len(one) for one in store._views.values())
        jobs = int(str(rows(self.folder, "SELECT count(*) FROM jobs")[0][0]))
        size = sum(path.stat().st_size for path in self.folder.glob("bot.db*"))
        handles = sum(1 for _ in Path("/proc/self/fd").iterdir())
        return Reading(resident / 2**20, handles, len(asyncio.all_tasks()), views, jobs, size // 1024)


def table(readings: Sequence[Reading]) -> str:
    """The readings as a Markdown table."""
    lines = ["| hour | memory (MiB) | handles | tasks | views | jobs so far | database (KiB) |", "| --- " * 7 + "|"]
    lines += [
        f"| {hour} | {one.memory_mib:.0f} | {one.handles} | {one.tasks} | {one.views} | {one.jobs} "
        f"| {one.database_kib} |"
        for hour, one in enumerate(readings, start=1)
    ]
    return "\n".join(lines)


def grown(readings: Sequence[Reading], what: Callable[[Reading], float]) -> float:
    """How much the last quarter's median is above that of the second quarter; there are three readings or more."""
    quarter = max(1, len(readings) // 4)
    early, late = readings[quarter : 2 * quarter], readings[-quarter:]
    assert len(readings) >= 3
    return sorted(map(what, late))[len(late) // 2] - sorted(map(what, early))[len(early) // 2]
