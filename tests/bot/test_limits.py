"""The bot's own limits for one member: on servers, in direct messages, and narrowed by a server's rules."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import simcord

from bot.app import PhotoMakerBot
from bot.config import ConfigError
from bot.services.admission import AdmissionPolicy
from bot.services.draw_contexts import DrawContext
from photomaker_core.loading.photomaker import PhotoMaker
from storage import JobLimits, Preferences, Rules
from tests.support.draw_requests import asked
from tests.support.server import Server, settings


def context(rules: Rules, *roles: int) -> DrawContext:
    return DrawContext(1, frozenset({5}), frozenset(roles), Preferences(), rules, ())


@pytest.mark.parametrize(
    ("own", "rules", "roles", "limits"),
    [
        (JobLimits(10, 200), Rules(), (), JobLimits(10, 200)),
        (JobLimits(10, 200), Rules(open_jobs=3, pictures_a_day=20), (), JobLimits(3, 20)),
        (JobLimits(10, 200), Rules(open_jobs=50, pictures_a_day=500), (), JobLimits(10, 200)),
        (JobLimits(10, 200), Rules(open_jobs=1, role_jobs={"7": 4, "8": 2}), (7, 8), JobLimits(4, 200)),
        (JobLimits(), Rules(open_jobs=2), (), JobLimits(2, None)),
        (JobLimits(), Rules(), (), JobLimits()),
    ],
)
def test_a_server_only_narrows_the_limits(
    own: JobLimits, rules: Rules, roles: tuple[int, ...], limits: JobLimits
) -> None:
    assert AdmissionPolicy(own).check(context(rules, *roles), asked()) == limits


async def test_the_bots_limits_hold_in_direct_messages_too(
    server: Server, tmp_path: Path, tiny_model: PhotoMaker, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    await server.restart(PhotoMakerBot(settings(tmp_path, max_open_jobs=2), load=lambda: tiny_model))
    await server.bot.resumed.wait()
    for _ in range(2):
        await server.ada.user.slash("imagine", prompt="a man img")
    refused = await server.ada.user.slash("imagine", prompt="a man img")
    assert refused.response is not None
    assert "Open jobs of yours: 2" in refused.response.content
    queue = await server.ada.user.slash("queue")
    assert queue.response is not None
    assert "2 jobs are open" in queue.response.content
    hold.set()
    await server.quiet()


async def test_moderators_limit_jobs_and_pictures_apart(server: Server, chief: simcord.MemberActor) -> None:
    told = await server.command(chief, "admin limit", jobs=2)
    assert "Open jobs of a member: 2" in told.content
    told = await server.command(chief, "admin limit", pictures=30)
    assert "Open jobs of a member: 2" in told.content
    assert "Pictures of a member in 24 hours: 30" in told.content
    role = server.env.guild.create_role("patron")
    refused = await server.command(chief, "admin limit", pictures=40, role=role)
    assert "Leave the role out" in refused.content
    told = await server.command(chief, "admin limit")
    assert "Open jobs of a member: as many as the bot allows" in told.content
    assert "Pictures of a member in 24 hours: as many as the bot allows" in told.content


@pytest.mark.parametrize("changes", [{"max_open_jobs": -1}, {"default_guidance": float("nan")}], ids=str)
def test_limits_are_checked_at_start(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        settings(tmp_path, **changes)
