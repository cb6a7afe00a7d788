"""Members who do anything in any order: nothing goes unanswered, and nothing goes wrong that nobody caused.

``WALK_ACTIONS=5000`` walks further than ``make test`` does; ``WALK_SEED`` chooses another way.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from simcord.backend.errors import BackendError, SetupError

from bot.app import PhotoMakerBot
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.presets.styles import STYLES
from tests.support import uploads
from tests.support.server import FICTION, MINE, Server, settings, upload

ACTIONS = int(os.environ.get("WALK_ACTIONS", "120"))
SEED = int(os.environ.get("WALK_SEED", "1"))
NAMES = ("newton", "Lenna", "🦊", "x" * 40, "", "shared:1", "shared:999", "*b* `c`")
APOLOGIES = ("something went wrong", "schiefgegangen", "algo ha fallado", "出错")
REFUSED = (BackendError, SetupError)
PROMPTS = (
    "a man img",
    "a woman img in the sea",
    "a man img and a woman img",
    "a tree",
    "img",
    "",
    "a man img " * 60,
    "a girl, blood",
    "x" * 1200,
)


class Walk:
    """One walk: picks who does what, and keeps what can be clicked."""

    def __init__(
        self, server: Server, chief: simcord.MemberActor, role: simcord.RoleHandle, rng: random.Random, restart: Restart
    ) -> None:
        self._studio, self._rng, self._restart = server, rng, restart
        self._members, self._role = [server.ada, server.bob, chief], role
        self._clickable: list[simcord.ResponseMessage] = []
        self.done: Counter[str] = Counter()

    async def step(self) -> None:
        actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (40, self._command),
            (30, self._click),
            (6, self._menu),
            (4, self._settle),
            (1, self._start_anew),
        ]
        weights, choices = zip(*actions, strict=True)
        action = self._rng.choices(choices, weights)[0]
        self.done[action.__name__.strip("_")] += 1
        await action()

    async def _command(self) -> None:
        name, options = self._rng.choice(self._commands())
        self.done[f"/{name}"] += 1
        member = self._rng.choice(self._members)
        if name not in member.available_commands(self._studio.channel):
            return
        given = {key: value for key, value in options.items() if value is not None}
        try:
            result = await member.slash(self._studio.channel, name, **given)
        except REFUSED:
            return  # Discord's own client would not have sent it.
        await self._answered(member, result, name)

    async def _click(self) -> None:
        """Any component of any message that is still there, by anybody."""
        self._clickable = [one for one in self._clickable[-30:] if self._parts(one)]
        if not self._clickable:
            return
        message = self._rng.choice(self._clickable)
        part = self._rng.choice(self._parts(message))
        member = self._rng.choice(self._members)
        self.done[part.get("label") or "select"] += 1
        try:
            if "options" in part:
                value = self._rng.choice(part["options"])["value"]
                result = await member.select(message, [value], custom_id=part["custom_id"])
            else:
                result = await member.click(message, custom_id=part["custom_id"])
        except REFUSED:
            return  # An ephemeral message of somebody else, or one that was deleted meanwhile.
        await self._answered(member, result, str(part))

    async def _menu(self) -> None:
        member = self._rng.choice(self._members)
        attachments = [upload(self._rng.randrange(50))] if self._rng.random() < 0.7 else []
        message = await member.send(self._studio.channel, "look", attachments=attachments)
        result = await member.context_menu(self._studio.channel, "Save as identity", message)
        await self._answered(member, result, "Save as identity")

    async def _settle(self) -> None:
        await self._studio.quiet()

    async def _start_anew(self) -> None:
        await self._restart()

    async def _answered(self, member: simcord.MemberActor, result: simcord.InteractionResult, what: str) -> None:
        assert result.acknowledged, f"the application did not respond to {what}"
        self.done["answered"] += 1
        if result.modal is not None:
            if self._rng.random() < 0.8:
                await self._fill(member, result)
            return
        for shown in (result.response, *result.followups):
            if shown is not None:
                assert not any(one in shown.content for one in APOLOGIES), what
                if self._parts(shown):
                    self._clickable.append(shown)

    async def _fill(self, member: simcord.MemberActor, shown: simcord.InteractionResult) -> None:
        assert shown.modal is not None
        values: dict[str, Any] = {}
        for row in shown.modal["components"]:
            part = row.get("component") or row["components"][0]
            if "options" in part:
                values[part["custom_id"]] = [self._rng.choice(part["options"])["value"]]
            elif part["type"] == discord.ComponentType.file_upload.value:
                values[part["custom_id"]] = self._photos(self._rng.randint(1, 3))
            else:
                texts = {"seed": ("", "7", "-1", "many"), "name": NAMES, "prompt": PROMPTS}
                values[part["custom_id"]] = self._rng.choice(texts.get(part["custom_id"], ("", "rain", "*x*" * 30)))
        try:
            result = await member.submit_modal(shown, values)
        except REFUSED:
            return  # The form itself does not let it through.
        await self._answered(member, result, str(shown.modal["title"]))

    def _photos(self, count: int) -> list[tuple[str, bytes]]:
        bad = [("notes.txt", b"no picture"), ("cut.jpg", uploads.photo()[:500])]
        return [self._rng.choice([upload(self._rng.randrange(50), f"{n}.jpg")] * 5 + bad) for n in range(count)]

    def _commands(self) -> list[tuple[str, dict[str, Any]]]:
        rng = self._rng
        name, prompt = rng.choice(NAMES[:3] * 3 + NAMES), rng.choice(PROMPTS[:2] * 4 + PROMPTS)
        photos = {f"photo{number}": photo for number, photo in enumerate(self._photos(rng.randint(0, 4)), start=1)}
        anybody = rng.choice([None, *self._members])
        maybe: Callable[..., Any] = lambda *values: rng.choice([None, None, *values])  # noqa: E731
        draw = {"prompt": prompt, "count": maybe(1, 3, 99), "seed": maybe(1, -1), "steps": maybe(1, 200)}
        return [
            *[("identity add", {"name": maybe(name, name, name), "consent": maybe(MINE, FICTION), **photos})] * 4,
            *[("imagine", {**draw, "identity": maybe(name), "quality": maybe("fast"), "style": maybe(*STYLES)})] * 4,
            ("imagine", {**draw, "guidance": maybe(0.0, 30.0), "lora": maybe("none"), "negative": maybe("rain")}),
            ("mix", {"id1": name, "id2": rng.choice(NAMES), "id3": maybe(*NAMES), "weights": maybe("1 2", "a")}),
            ("together", {**draw, "id1": name, "id2": rng.choice(NAMES), "layout": maybe("side by side", "automatic")}),
            ("edit", {"identity": maybe(name), "hair": maybe("blue"), "clothing": maybe("a suit", " ")}),
            ("reality", {"identity": maybe(name)}),
            ("identity list", {}),
            ("identity show", {"name": name}),
            ("identity add-photos", {"name": name}),
            ("identity remove-photo", {"name": name, "number": rng.randint(-1, 3)}),
            ("identity rename", {"name": name, "new_name": rng.choice(NAMES)}),
            ("identity default", {"name": maybe(name)}),
            ("identity share", {"name": name, "member": anybody}),
            ("identity unshare", {"name": name, "member": anybody}),
            ("identity delete", {"name": name}),
            ("prompt save", {"name": rng.choice(NAMES), "prompt": prompt}),
            ("prompt list", {}),
            ("prompt use", {"name": rng.choice(NAMES)}),
            ("prompt delete", {"name": rng.choice(NAMES)}),
            ("queue", {}),
            ("history", {}),
            ("settings", {"quality": maybe("fast"), "reset": maybe(True)}),
            ("style", {}),
            ("help", {}),
            ("privacy export", {}),
            ("privacy delete", {}),
            ("admin show", {}),
            ("admin word", {"word": rng.choice(("blood", " ", "x" * 80))}),
            ("admin limit", {"jobs": maybe(2, 50), "role": maybe(self._role)}),
            ("admin defaults", {"style": maybe(*STYLES), "quality": maybe("fast", "turbo")}),
            ("admin lora", {"name": "none"}),
            ("admin pause", {}),
            *[("admin resume", {})] * 3,
            ("admin stats", {}),
            ("admin drain", {"off": maybe(True)}),
        ]  # fmt: skip

    @staticmethod
    def _parts(message: simcord.ResponseMessage) -> list[dict[str, Any]]:
        """The buttons and menus of a message that can be used, wherever they lie in its layout."""
        try:
            found = list(message.components)
        except REFUSED:
            return []
        parts = []
        while found:
            part = found.pop()
            found += part.get("components", [])
            if part.get("custom_id") and not part.get("disabled"):
                parts.append(part)
        return parts


Restart = Callable[[], Awaitable[None]]


@pytest.mark.timeout(60 + ACTIONS)
async def test_whatever_members_do_is_answered(server: Server, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    guild = server.env.guild
    role = guild.create_role("chief", permissions=discord.Permissions(manage_guild=True, manage_messages=True))
    chief = guild.add_member(server.env.create_user("chief"), roles=[role])

    async def restart() -> None:
        await server.restart(PhotoMakerBot(settings(tmp_path), load=lambda: tiny_model))

    server.locales |= {server.bob.id: "de", chief.id: "zh-CN"}
    walk = Walk(server, chief, role, random.Random(SEED), restart)
    for _ in range(ACTIONS):
        await walk.step()
    await server.quiet()
    assert server.bot.jobs.open_count == 0
    assert server.unexpected_errors() == []
    print(walk.done)
    assert walk.done["answered"] > ACTIONS / 2
