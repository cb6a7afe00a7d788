"""The gateway breaks, asks to connect anew or forgets the session while jobs are drawn: nobody notices."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import pytest

from tests.support.discord_double import DiscordDouble
from tests.support.doubled_bot import DoubledBot
from tests.support.server import until

Trouble = Callable[[DiscordDouble], Awaitable[object]]


async def _aborted(double: DiscordDouble) -> None:
    double.gateway.abort()


async def _unresumable(double: DiscordDouble) -> None:
    double.gateway.resumes = False
    await double.gateway.close(4009)


@pytest.mark.parametrize(
    ("trouble", "comes_back_by"),
    [
        (lambda double: double.gateway.ask_to_reconnect(), ["resume"]),
        (lambda double: double.gateway.invalidate(is_resumable=True), ["resume"]),
        (lambda double: double.gateway.invalidate(is_resumable=False), ["identify"]),
        (lambda double: double.gateway.close(4000), ["resume"]),
        (lambda double: double.gateway.close(1000), ["resume"]),
        (_aborted, ["resume"]),
        (_unresumable, ["resume refused", "identify"]),
    ],
    ids=["reconnect", "invalid, resumable", "invalid", "closed", "closed well", "broken", "unresumable"],
)
async def test_a_job_and_its_member_outlast_the_connection(
    double: DiscordDouble,
    doubled_bot: DoubledBot,
    hold: threading.Event,
    discord_waits: list[float],
    trouble: Trouble,
    comes_back_by: list[str],
) -> None:
    drawn = await doubled_bot.imagine(double.ada)
    await until(lambda: drawn.said)
    double.gateway.is_ready.clear()
    double.gateway.met.clear()
    await trouble(double)
    await double.gateway.is_ready.wait()
    assert double.gateway.met == comes_back_by
    later = await doubled_bot.imagine(double.ada)
    await until(lambda: later.said)
    hold.set()
    await doubled_bot.quiet(2)
    assert [len(one.reply.files) for one in (drawn, later) if one.reply is not None] == [1, 1]


async def test_a_command_of_the_time_without_a_connection_is_answered_after_it(
    double: DiscordDouble, doubled_bot: DoubledBot
) -> None:
    double.gateway.is_ready.clear()
    double.gateway.abort()
    drawn = await doubled_bot.imagine(double.ada)
    await double.gateway.is_ready.wait()
    await doubled_bot.quiet(1)
    assert drawn.reply is not None
    assert drawn.reply.file_names == ["picture-1-1.png"]


async def test_a_connection_that_answers_no_heartbeat_is_left(double: DiscordDouble, doubled_bot: DoubledBot) -> None:
    connection = doubled_bot.bot._connection
    double.gateway.acknowledges, connection.heartbeat_timeout = False, 0.2
    await double.gateway.ask_to_reconnect()
    await until(lambda: double.gateway.met.count("resume") > 1)
    double.gateway.acknowledges, connection.heartbeat_timeout = True, 60.0
    drawn = await doubled_bot.imagine(double.ada)
    await doubled_bot.quiet(1)
    assert drawn.said


async def test_what_is_told_by_rate_limits_is_obeyed(double: DiscordDouble, doubled_bot: DoubledBot) -> None:
    double.limits.of_route("PATCH", "/webhooks/{app}/{token}/messages/{message}", 1, 0.2)
    double.limits.of_all(3, 0.1)
    for _ in range(3):
        await doubled_bot.imagine(double.ada, steps=2)
    await doubled_bot.quiet(3)
    assert len(double.world.showing("picture-")) == 3
    assert double.limits.refused <= 3


async def test_photos_come_from_the_cdn_and_pictures_go_there(double: DiscordDouble, doubled_bot: DoubledBot) -> None:
    drawn = await doubled_bot.imagine(double.ada)
    await doubled_bot.quiet(1)
    assert drawn.reply is not None
    sent = await double.click(double.ada, drawn.reply, "Send me")
    await until(lambda: "Sent." in sent.said)
    (message,) = double.world.in_channel(double.world.conversation(double.ada))
    assert message.files[0].content == drawn.reply.files[0].content
