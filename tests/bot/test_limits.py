"""The bot's own limits for one member: on servers, in direct messages, and narrowed by a server's rules."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest
import simcord

from bot.app import PhotoMakerBot
from bot.config import ConfigError
from bot.services.admission import AdmissionPolicy
from bot.services.draw_contexts import DrawContext
from bot.services.upload_allowance import UploadAllowance
from photomaker_core.loading.photomaker import PhotoMaker
from storage import JobLimits, LimitReachedError, Preferences, Rules, ServerStore
from tests.support.draw_requests import asked
from tests.support.server import Server, settings, upload


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
        (
            JobLimits(10, 200, 50, 2000, 7200),
            Rules(server_jobs=5, server_pictures_a_day=9000, wait_minutes=10),
            (),
            JobLimits(10, 200, 5, 2000, 600),
        ),
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
    told = await server.command(chief, "admin limit", server_jobs=7, server_pictures=70, wait=5, uploads=9)
    assert "Open jobs of all members: 7" in told.content
    assert "Pictures of all members in 24 hours: 70" in told.content
    assert "Longest wait in minutes: 5" in told.content
    assert "Photos of a member in an hour: 9" in told.content


async def test_a_servers_limit_counts_all_its_members(server: Server, hold: threading.Event) -> None:
    for member in (server.ada, server.bob):
        await server.add(member, "newton")
    await ServerStore(server.bot.database).change(server.env.guild.id, server_jobs=1)
    await server.ada.slash(server.channel, "imagine", prompt="a man img")
    refused = await server.bob.slash(server.channel, "imagine", prompt="a man img")
    assert refused.response is not None
    assert "Open jobs of this server: 1, which is the most" in refused.response.content
    direct = await server.bob.user.slash("imagine", prompt="a man img")
    assert direct.response is not None
    assert "Waiting: 1 job before yours" in direct.response.content
    hold.set()
    await server.quiet()


async def test_a_job_that_would_wait_too_long_is_refused(server: Server, hold: threading.Event) -> None:
    await server.add(server.ada, "newton")
    await ServerStore(server.bot.database).change(server.env.guild.id, wait_minutes=1)
    server.bot.jobs.throughput.begin(0.0)
    server.bot.jobs.throughput.note(1, 10.0)
    first = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    second = await server.ada.slash(server.channel, "imagine", prompt="a man img", count=2)
    assert first.response is not None
    assert second.response is not None
    assert "Ready in about 30 s" in first.response.content
    assert "Your picture would be ready in about 90 s; 60 s is the longest wait" in second.response.content
    hold.set()
    await server.quiet()


async def test_jobs_that_are_being_stored_count_as_waiting(server: Server) -> None:
    open_jobs = server.bot.jobs._open
    open_jobs.throughput.begin(0.0)
    open_jobs.throughput.note(1, 1.0)
    request = asked(count=1, steps=10)
    with contextlib.ExitStack() as being_stored:
        places = [being_stored.enter_context(open_jobs.room_for(request, 60.0)) for _ in range(6)]
        assert [one.jobs_before for one in places] == [0, 1, 2, 3, 4, 5]
        with pytest.raises(LimitReachedError, match="is the longest wait"), open_jobs.room_for(request, 60.0):
            pass
    with open_jobs.room_for(request, 10.0) as place:
        assert place.jobs_before == 0


async def test_a_member_hands_in_no_more_photos_an_hour_than_allowed(server: Server) -> None:
    await ServerStore(server.bot.database).change(server.env.guild.id, uploads_an_hour=2)
    for number in range(2):
        assert "Added" in (await server.add(server.ada, f"person {number}", upload(number))).content
    refused = await server.add(server.ada, "lenna", upload(3))
    assert "Photos of yours within an hour: 2; 2 are the most" in refused.content
    assert "Added" in (await server.add(server.bob, "lenna")).content


async def test_of_ten_uploads_at_once_as_many_pass_as_may(server: Server) -> None:
    allowance = UploadAllowance(ServerStore(server.bot.database), 3)
    taken = await asyncio.gather(
        *(allowance.take(1, server.env.guild.id, 1) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, LimitReachedError) for one in taken) == 7
    assert taken.count(None) == 3


async def test_an_hour_later_photos_are_taken_again(server: Server) -> None:
    now_s = 0.0
    allowance = UploadAllowance(ServerStore(server.bot.database), 2, lambda: now_s)
    await allowance.take(1, None, 2)
    with pytest.raises(LimitReachedError):
        await allowance.take(1, None, 1)
    now_s = 3601.0
    await allowance.take(1, None, 2)


@pytest.mark.parametrize("changes", [{"max_open_jobs": -1}, {"default_guidance": float("nan")}], ids=str)
def test_limits_are_checked_at_start(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        settings(tmp_path, **changes)
