"""A server's rules, for moderators and against others; reports; /queue and /history."""

from __future__ import annotations

import asyncio
import logging
import threading

import discord
import pytest
import simcord

from bot.services.admission import blocked_word
from photomaker_core.presets.styles import STYLES
from storage import Rules
from tests.server import Server
from tests.test_job_buttons import click, drawn, says


@pytest.fixture
def chief(studio: Server) -> simcord.MemberActor:
    """A member who may manage the server."""
    guild = studio.env.guild
    role = guild.create_role("chief", permissions=discord.Permissions(manage_guild=True, manage_messages=True))
    return guild.add_member(studio.env.create_user("chief"), roles=[role])


async def imagine(studio: Server, prompt: str = "a man img") -> simcord.ResponseMessage:
    return await studio.command(studio.ada, "imagine", prompt=prompt)


async def test_rules_are_for_those_who_manage_the_server(studio: Server, chief: simcord.MemberActor) -> None:
    assert "Drawing is on" in (await studio.command(chief, "admin show")).content
    assert "admin show" in chief.available_commands(studio.channel)
    assert "admin show" not in studio.ada.available_commands(studio.channel)


async def test_a_paused_server_draws_nothing(studio: Server, chief: simcord.MemberActor) -> None:
    await studio.add(studio.ada, "newton")
    assert "**paused**" in (await studio.command(chief, "admin pause")).content
    assert "paused on this server" in (await imagine(studio)).content
    assert "Drawing is on" in (await studio.command(chief, "admin resume")).content
    assert len((await imagine(studio)).attachments) == 1


async def test_channels_are_allowed_and_forbidden(studio: Server, chief: simcord.MemberActor) -> None:
    await studio.add(studio.ada, "newton")
    other = studio.env.guild.create_text_channel("art")
    assert f"<#{other.id}>" in (await studio.command(chief, "admin channels", channel=other)).content
    refused = await imagine(studio)
    assert f"Drawing is allowed in <#{other.id}> only" in refused.content
    allowed = await studio.ada.slash(other, "imagine", prompt="a man img")
    await studio.quiet()
    assert allowed.response is not None
    assert len(allowed.response.attachments) == 1
    assert "Channels: all" in (await studio.command(chief, "admin channels", channel=other)).content
    assert len((await imagine(studio)).attachments) == 1


async def test_blocked_words_are_refused_everywhere(studio: Server, chief: simcord.MemberActor) -> None:
    first = await drawn(studio)
    await studio.command(chief, "admin word", word="Blood")
    assert "“blood” is not allowed" in (await imagine(studio, "a man img in BLOOD")).content
    assert len((await imagine(studio, "a man img with bloodless lips")).attachments) == 1
    shown = await studio.ada.click(first, label="Change")
    result = await studio.ada.submit_modal(shown, {"prompt": "a man img, blood", "negative": "", "seed": ""})
    await studio.quiet()
    assert result.response is not None
    assert "is not allowed" in result.response.content
    assert "none" in (await studio.command(chief, "admin word", word="blood")).content
    assert "between 1 and 60" in (await studio.command(chief, "admin word", word="x" * 61)).content


def test_words_are_matched_whole_and_phrases_too() -> None:
    rules = Rules(blocked_words=("no.pe", "two words", "ü"))
    assert blocked_word(rules, ("that is NO.PE!", "")) == "no.pe"
    assert blocked_word(rules, ("noxpe", "two  words")) is None
    assert blocked_word(rules, ("", "Two words")) == "two words"
    assert blocked_word(rules, ("über", "Ü")) == "ü"


async def test_a_member_has_only_so_many_open_jobs(
    studio: Server, chief: simcord.MemberActor, hold: threading.Event
) -> None:
    await studio.add(studio.ada, "newton")
    assert "Open jobs of a member: 2" in (await studio.command(chief, "admin limit", jobs=2)).content
    for _ in range(2):
        await studio.ada.slash(studio.channel, "imagine", prompt="a man img")
    refused = await studio.ada.slash(studio.channel, "imagine", prompt="a man img")
    assert refused.response is not None
    assert "Open jobs of yours: 2" in refused.response.content
    queue = await studio.ada.slash(studio.channel, "queue")
    assert queue.response is not None
    assert "2 jobs are open" in queue.response.content
    assert queue.response.content.count("yours") == 2
    hold.set()
    await studio.quiet()
    assert "Nothing is waiting" in (await studio.command(studio.ada, "queue")).content
    assert "any number" in (await studio.command(chief, "admin limit")).content


async def test_expected_time_is_told_once_it_was_measured(studio: Server) -> None:
    await studio.add(studio.ada, "newton")
    await studio.command(studio.ada, "imagine", prompt="a man img", steps=30)
    waiting = asyncio.create_task(studio.ada.slash(studio.channel, "imagine", prompt="a man img", steps=30))
    await waiting
    await studio.quiet()
    assert studio.bot.jobs.throughput.expected_s(30) is not None


async def test_reports_reach_the_moderators_channel(
    studio: Server, chief: simcord.MemberActor, caplog: pytest.LogCaptureFixture
) -> None:
    first = await drawn(studio)

    async def report() -> str:
        shown = await studio.bob.click(first, label="Report")
        return says(await studio.bob.submit_modal(shown, {"reason": "that is *me*"}))

    with caplog.at_level(logging.WARNING):
        assert "bot's operator" in await report()
    assert "that is *me*" in caplog.text
    desk = studio.env.guild.create_text_channel("reports")
    assert f"<#{desk.id}>" in (await studio.command(chief, "admin reports", channel=desk)).content
    assert "to the moderators" in await report()
    (posted,) = desk.history()
    assert f"<@{studio.bob.id}> reports" in posted.content
    assert "that is \\*me\\*" in posted.content


async def test_only_the_operator_drains(studio: Server, chief: simcord.MemberActor) -> None:
    await studio.add(studio.ada, "newton")
    assert "Only the bot's operator" in (await studio.command(chief, "admin drain")).content
    studio.bot.owner_id = chief.id
    assert "take no new jobs" in (await studio.command(chief, "admin drain")).content
    assert "about to be restarted" in (await imagine(studio)).content
    assert "again" in (await studio.command(chief, "admin drain", off=True)).content
    assert len((await imagine(studio)).attachments) == 1
    assert "done: 1" in (await studio.command(chief, "admin stats")).content


async def test_history_is_paged_with_thumbnails(studio: Server) -> None:
    empty = await studio.ada.slash(studio.channel, "history")
    assert empty.response is not None
    await studio.add(studio.ada, "newton")
    for seed in range(6):
        await studio.command(studio.ada, "imagine", prompt=f"a man img number {seed}", seed=seed)
    shown = await studio.ada.slash(studio.channel, "history")
    assert shown.response is not None
    assert len(shown.response.attachments) == 4
    text = str(shown.response.components)
    assert "number 5" in text
    assert "number 1" not in text
    await studio.ada.click(shown.response, label="Older")
    text = str(shown.response.components)
    assert "number 1" in text
    assert "number 5" not in text
    await click(studio, studio.ada, shown.response, "Newer")
    other = await studio.bob.slash(studio.channel, "history")
    assert other.response is not None
    assert "no pictures yet" in str(other.response.components)


async def test_styles_are_listed(studio: Server) -> None:
    shown = await studio.command(studio.ada, "style")
    told = str(shown.components)
    assert "**Cinematic**" in told
    assert "None is loaded here" in told
    pictures = {await one.read() for one in shown.attachments}
    assert len(pictures) == len(STYLES), "each style has a picture of its own"
    again = await studio.command(studio.bob, "style")
    assert {await one.read() for one in again.attachments} == pictures


async def test_styles_are_listed_while_their_pictures_are_drawn(studio: Server) -> None:
    before = len(studio.env.http_requests)
    shown = await studio.command(studio.ada, "style")
    first, *_ = (str(one.json) for one in studio.env.http_requests[before:])
    assert "Cinematic, Disney character" in first
    assert "being drawn" in first
    assert len(shown.attachments) == len(STYLES)
    assert "being drawn" not in str(shown.components)


async def test_roles_have_limits_of_their_own(
    studio: Server, chief: simcord.MemberActor, hold: threading.Event
) -> None:
    guild = studio.env.guild
    patron = guild.create_role("patron")
    eve = guild.add_member(studio.env.create_user("eve"), roles=[patron])
    await studio.command(chief, "admin limit", jobs=1)
    told = await studio.command(chief, "admin limit", jobs=2, role=patron)
    assert f"Open jobs of a member: 1, <@&{patron.id}> 2" in told.content
    for member in (studio.ada, eve):
        await studio.add(member, "newton")
    for member in (studio.ada, eve):
        await member.slash(studio.channel, "imagine", prompt="a man img")
    refused = await studio.ada.slash(studio.channel, "imagine", prompt="a man img")
    assert refused.response is not None
    assert "Open jobs of yours: 1" in refused.response.content
    allowed = await eve.slash(studio.channel, "imagine", prompt="a man img")
    assert allowed.response is not None
    assert "before yours" in allowed.response.content
    hold.set()
    await studio.quiet()
    assert f"<@&{patron.id}>" not in (await studio.command(chief, "admin limit", role=patron)).content


async def test_a_server_has_defaults_that_preferences_override(studio: Server, chief: simcord.MemberActor) -> None:
    await studio.add(studio.ada, "newton")
    told = await studio.command(chief, "admin defaults", style="Cinematic", quality="best")
    assert "Where a member says nothing: Cinematic, best" in told.content
    assert "Style: Cinematic" in (await studio.command(studio.ada, "settings")).content
    drawn_so = await imagine(studio)
    assert "Cinematic · quality: best" in drawn_so.content
    await studio.command(studio.ada, "settings", style="Line art")
    assert "Line art · quality: best" in (await imagine(studio)).content
    assert "the bot’s own settings" in (await studio.command(chief, "admin defaults")).content


async def test_who_does_not_manage_the_server_is_refused_even_where_discord_shows_the_command(studio: Server) -> None:
    (admin,) = (one for one in await studio.bot.tree.fetch_commands() if one.name == "admin")
    studio.env.guild.set_command_permissions(admin, {studio.ada: True})
    refused = await studio.command(studio.ada, "admin pause")
    assert refused.content == "You may not use this command here."
    assert not (await studio.bot.jobs.gate.servers.rules(studio.env.guild.id)).is_paused
