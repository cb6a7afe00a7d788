"""Tests of reports."""

from __future__ import annotations

import logging

import pytest
import simcord

from tests.support.server import Server, drawn, says


async def test_reports_reach_the_moderators_channel(
    server: Server, chief: simcord.MemberActor, caplog: pytest.LogCaptureFixture
) -> None:
    first = await drawn(server)

    async def report() -> str:
        shown = await server.bob.click(first, label="Report")
        return says(await server.bob.submit_modal(shown, {"reason": "that is *me*"}))

    with caplog.at_level(logging.WARNING):
        assert "bot's operator" in await report()
    assert "that is *me*" in caplog.text
    desk = server.env.guild.create_text_channel("reports")
    assert f"<#{desk.id}>" in (await server.command(chief, "admin reports", channel=desk)).content
    assert "to the moderators" in await report()
    (posted,) = desk.history()
    assert f"<@{server.bob.id}> reports" in posted.content
    assert "that is \\*me\\*" in posted.content
