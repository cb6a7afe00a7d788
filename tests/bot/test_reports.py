"""Tests of reports."""

from __future__ import annotations

import logging
from typing import cast

import pytest
import simcord

from bot.services.reports import MOST_IN_AN_HOUR, ReportError, Reports
from storage import ServerStore
from tests.support.server import Server, drawn, says


async def test_reports_reach_the_moderators_channel(
    server: Server, chief: simcord.MemberActor, caplog: pytest.LogCaptureFixture
) -> None:
    first = await drawn(server)

    async def report(member: simcord.MemberActor) -> str:
        shown = await member.click(first, label="Report")
        return says(await member.submit_modal(shown, {"reason": "that is *me*"}))

    with caplog.at_level(logging.WARNING):
        assert "bot's operator" in await report(server.ada)
    assert "that is *me*" in caplog.text
    caplog.clear()
    desk = server.env.guild.create_text_channel("reports")
    assert f"<#{desk.id}>" in (await server.command(chief, "admin reports", channel=desk)).content
    assert "to the moderators" in await report(server.bob)
    (posted,) = desk.history()
    assert f"<@{server.bob.id}> reports" in posted.content
    assert "that is \\*me\\*" in posted.content
    assert f"user {server.bob.id} reports job" in caplog.text
    assert "me*" not in caplog.text


async def test_a_report_of_several_lines_stays_in_its_quote(server: Server, chief: simcord.MemberActor) -> None:
    first = await drawn(server)
    desk = server.env.guild.create_text_channel("reports")
    await server.command(chief, "admin reports", channel=desk)
    shown = await server.bob.click(first, label="Report")
    says(await server.bob.submit_modal(shown, {"reason": "one\n\n# two\n> https://x.example"}))
    (posted,) = desk.history()
    assert posted.content.split("\n")[1:] == ["> one", "> \\# two", "> \\> <https://x.example>"]


async def test_a_member_reports_a_picture_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    first = await drawn(server)
    answers = []
    with caplog.at_level(logging.WARNING):
        for member in (server.bob, server.bob, server.ada):
            shown = await member.click(first, label="Report")
            answers.append(says(await member.submit_modal(shown, {"reason": "no"})))
    assert ["already" in answer for answer in answers] == [False, True, False]
    assert caplog.text.count("reports job") == 2


def test_a_member_reports_few_pictures_an_hour() -> None:
    clock = iter([*range(MOST_IN_AN_HOUR), 100.0, 3600.5, 3700.0, 3700.0])
    reports = Reports(cast("ServerStore", None), now_s=lambda: next(clock))
    for job in range(MOST_IN_AN_HOUR):
        reports._count(1, job)
    with pytest.raises(ReportError, match="within an hour"):
        reports._count(1, 100)
    reports._count(1, 101)
    with pytest.raises(ReportError, match="already"):
        reports._count(1, 101)
    reports._count(2, 101)
