"""A server's day, shortened: members who come as a Poisson process and use the real bot over HTTP and the gateway,
faults now and then, and what is watched."""

from __future__ import annotations

import asyncio
import math
import random
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support import discord_rules, uploads
from tests.support.discord_double import (
    DiscordDouble,
    Interaction,
    Message,
    User,
    answer,
    cut,
    limited,
    reset,
    slow,
)
from tests.support.discord_double.world import LOADING
from tests.support.doubled_bot import NOT_AT_REST
from tests.support.killable_bot import KillableBot, Reading
from tests.support.server import FICTION, rows, until, upload

UNFINISHED: Final = ("⏳", "▰", "▱")
_PROMPTS: Final = ("a man img", "a woman img in the sea", "a girl img, rain", "a tree", "a man img in a red hat")
_FORM: Final = {"prompt": "a man img", "negative": "", "seed": "", "name": "kept", "reason": "no"}
_LOOKS: Final = ("queue", "history", "identity list", "privacy show", "settings", "prompt list", "help")
_HTTP_FAULTS: Final = (
    *(answer(status) for status in (500, 502, 503)),
    answer(503, late=True),
    *(answer(404, code) for code in (10003, 10008, 10015)),
    answer(403, 50001),
    answer(401, 50027),
    limited(0.5),
    limited(0.3, is_global=True),
    limited(0.5, from_cloudflare=True),
    reset(),
    reset(late=True),
    cut(),
    slow(1.0),
)
_SELECT: Final = 3
_OUTAGE_MARGIN_S: Final = 0.5
_PATIENCE_S: Final = 60.0


@dataclass
class Day:
    """Hours of a server with many members. ``fault_share`` of what they do meets a fault, of a random kind."""

    double: DiscordDouble
    bot: KillableBot
    folder: Path
    rng: random.Random
    members: list[User]
    fault_share: float = 0.01
    done: Counter[str] = field(default_factory=Counter)
    readings: list[Reading] = field(default_factory=list)
    asked: list[Interaction] = field(default_factory=list)
    """Every command, click and form."""
    outages: list[tuple[float, float]] = field(default_factory=list)
    """When the gateway was broken, from and to, by the monotonic clock."""
    _shown: deque[Interaction] = field(default_factory=lambda: deque(maxlen=60))
    _begun: list[asyncio.Task[None]] = field(default_factory=list)

    async def arrive(self) -> None:
        """Let every member add two people, without any fault."""
        for member in self.members:
            for place, name in enumerate(("one", "two")):
                options = {"name": name, "consent": FICTION, "photo1": upload(place)}
                added = await self.double.slash(member, "identity add", **options)
                await self.bot.until(until(lambda added=added: added.reply and not added.reply.flags & LOADING))

    async def hour(self, number: int, arrivals: float, seconds: float) -> None:
        """About so many arrivals in so many real seconds, more in the evening than at night; then let all of it end."""
        rate = arrivals / seconds * (1 + 0.8 * math.sin((number - 14) / 24 * 2 * math.pi))
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s:
            await asyncio.sleep(self.rng.expovariate(rate))
            self._begun.append(asyncio.create_task(self._come()))
        while self._begun:
            begun, self._begun = self._begun, []
            await self.bot.until(asyncio.gather(*begun))
        self.double.faults.clear()
        await self.bot.until(self._rest())
        jobs = int(str(rows(self.folder, "SELECT count(*) FROM jobs")[0][0]))
        self.readings.append(await self.bot.reading(jobs))

    async def _rest(self) -> None:
        """Wait until every job has ended and its member knows, and nobody waits for an answer that may still come."""
        await self.double.gateway.is_ready.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await until(lambda: not rows(self.folder, NOT_AT_REST) and not self.unanswered())

    async def _come(self) -> None:
        if self.rng.random() < self.fault_share:
            self._break_something()
        act = self.rng.choices((self._draw, self._look, self._click, self._add), (5, 3, 5, 2))[0]
        await act(self.rng.choice(self.members))

    async def _draw(self, member: User) -> None:
        command, options = self.rng.choice(
            [
                ("imagine", {"prompt": self.rng.choice(_PROMPTS), "identity": "one"}),
                ("imagine", {"prompt": self.rng.choice(_PROMPTS), "identity": "two", "count": 2, "steps": 5}),
                ("edit", {"hat": "cap"}),
                ("mix", {"id1": "one", "id2": "two"}),
                ("together", {"id1": "one", "id2": "two", "prompt": "a man img and a woman img"}),
            ]
        )
        await self._use(member, command, options)

    async def _look(self, member: User) -> None:
        await self._use(member, self.rng.choice(_LOOKS), {})

    async def _add(self, member: User) -> None:
        photo = upload(self.rng.randrange(40)) if self.rng.random() < 0.9 else ("cut.jpg", uploads.photo()[:700])
        name = self.rng.choice(("one", "two", "three"))
        await self._use(member, "identity add", {"name": name, "consent": FICTION, "photo1": photo})
        if self.rng.random() < 0.2:
            await self._use(member, "identity delete", {"name": "three"})

    async def _use(self, member: User, command: str, options: dict[str, Any]) -> None:
        self.done[command] += 1
        asked = await self.double.slash(member, command, **options)
        self.asked.append(asked)
        self._shown.append(asked)

    async def _click(self, member: User) -> None:
        shown = self.rng.choice(self._shown) if self._shown else None
        message = shown and shown.reply
        if shown is None or message is None or message.is_deleted:
            return
        labels = [
            str(one["label"])
            for one in discord_rules.walk(message.components)
            if one.get("label") and one.get("custom_id") and not one.get("disabled")
        ]
        if not labels:
            return
        label = self.rng.choice(labels)
        self.done[f"click {label}"] += 1
        is_own = message.viewer is not None or self.rng.random() < 0.85
        clicked = await self.double.click(shown.user if is_own else member, message, label)
        self.asked.append(clicked)
        self._shown.append(clicked)
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await until(lambda: clicked.is_answered)
        if clicked.modal is not None and self.rng.random() < 0.5:  # The others close the form.
            fields = [one for one in discord_rules.walk(clicked.modal["components"]) if "custom_id" in one]
            if {str(one["custom_id"]) for one in fields if one["type"] != _SELECT} <= set(_FORM):
                self.done["form"] += 1
                self.asked.append(await self.double.submit(clicked, _FORM))

    def _break_something(self) -> None:
        kind = self.rng.choice(("http", "http", "http", "gateway", "memory", "error", "nan", "database"))
        self.done[f"fault: {kind}"] += 1
        if kind == "http":
            self.double.faults.at(self.rng.choice(("PATCH", "POST", "GET")), "*", self.rng.choice(_HTTP_FAULTS))
        elif kind == "gateway":
            self._begun.append(asyncio.create_task(self._break_gateway()))
        elif kind == "database":
            self._begun.append(asyncio.create_task(asyncio.to_thread(self._lock_database)))
        else:
            self.bot.break_next_step(kind)

    async def _break_gateway(self) -> None:
        gateway, since_s = self.double.gateway, time.monotonic()
        gateway.is_ready.clear()
        how = self.rng.choice(("reconnect", "resumable", "new session", "closed", "broken"))
        if how == "reconnect":
            await gateway.ask_to_reconnect()
        elif how == "closed":
            await gateway.close(4000)
        elif how == "broken":
            gateway.abort()
        else:
            await gateway.invalidate(is_resumable=how == "resumable")
        await gateway.is_ready.wait()
        self.outages.append((since_s - _OUTAGE_MARGIN_S, time.monotonic() + _OUTAGE_MARGIN_S))

    def _lock_database(self) -> None:
        """Another process writes for a while."""
        connection = sqlite3.connect(self.folder / "bot.db", timeout=10, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(0.7)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def _met_outage(self, asked: Interaction) -> bool:
        return any(since_s <= asked.sent_at_s <= until_s for since_s, until_s in self.outages)

    def unanswered(self) -> list[Interaction]:
        """What the bot has not answered although it heard of it, or has answered with no more than "thinking"."""
        return [
            one
            for one in self.asked
            if (one.called_at_s is None and not self._met_outage(one)) or (one.reply and one.reply.flags & LOADING)
        ]

    def waits_s(self) -> list[float]:
        """Seconds from an interaction to the bot's first request that answers it, in order of length."""
        heard = [one for one in self.asked if one.called_at_s is not None and not self._met_outage(one)]
        return sorted(one.called_at_s - one.sent_at_s for one in heard if one.called_at_s is not None)

    def untold(self) -> list[str]:
        """The jobs that have ended and of which no message says how."""
        found = []
        ended = rows(self.folder, "SELECT id, message_id, state FROM jobs WHERE state != 'deleted'")
        for job_id, message_id, state in ended:
            told = self.double.world.messages.get(int(str(message_id or 0)))
            posted = [one for one in self.double.world.messages.values() if one.nonce == f"photomaker-{job_id}"]
            if not any(_is_final(one) for one in (told, *posted)):
                found.append(f"job {job_id}, {state}: {told and told.said}")
        return found


def _is_final(message: Message | None) -> bool:
    return message is not None and (
        message.is_deleted
        or (bool(message.content or message.files) and not any(sign in message.content for sign in UNFINISHED))
    )


def table(readings: Sequence[Reading]) -> str:
    """The readings as a Markdown table."""
    lines = ["| hour | memory (MiB) | handles | tasks | views | jobs so far |", "| --- " * 6 + "|"]
    lines += [
        f"| {hour} | {one.memory_mib:.0f} | {one.handles} | {one.tasks} | {one.views} | {one.jobs} |"
        for hour, one in enumerate(readings, start=1)
    ]
    return "\n".join(lines)


def grown(readings: Sequence[Reading], what: Callable[[Reading], float]) -> float:
    """How much the last quarter's median is above that of the second quarter; there are three readings or more."""
    quarter = max(1, len(readings) // 4)
    early, late = readings[quarter : 2 * quarter], readings[-quarter:]
    assert len(readings) >= 3
    return sorted(map(what, late))[len(late) // 2] - sorted(map(what, early))[len(early) // 2]
