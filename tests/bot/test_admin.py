"""A server's rules, for moderators and against others; reports; /queue and /history."""

from __future__ import annotations

import threading

import simcord

from bot.services.admission import blocked_word
from storage import Rules, ServerStore
from tests.support.server import FICTION, Server, drawn, upload


async def imagine(server: Server, prompt: str = "a man img") -> simcord.ResponseMessage:
    return await server.command(server.ada, "imagine", prompt=prompt)


async def test_rules_are_for_those_who_manage_the_server(server: Server, chief: simcord.MemberActor) -> None:
    assert "Drawing is on" in (await server.command(chief, "admin show")).content
    assert "admin show" in chief.available_commands(server.channel)
    assert "admin show" not in server.ada.available_commands(server.channel)


async def test_a_paused_server_draws_nothing(server: Server, chief: simcord.MemberActor) -> None:
    await server.add(server.ada, "newton")
    assert "**paused**" in (await server.command(chief, "admin pause")).content
    assert "paused on this server" in (await imagine(server)).content
    assert "Drawing is on" in (await server.command(chief, "admin resume")).content
    assert len((await imagine(server)).attachments) == 1


async def test_channels_are_allowed_and_forbidden(server: Server, chief: simcord.MemberActor) -> None:
    await server.add(server.ada, "newton")
    other = server.env.guild.create_text_channel("art")
    assert f"<#{other.id}>" in (await server.command(chief, "admin channels", channel=other)).content
    refused = await imagine(server)
    assert f"Drawing is allowed in <#{other.id}> only" in refused.content
    allowed = await server.ada.slash(other, "imagine", prompt="a man img")
    await server.quiet()
    assert allowed.response is not None
    assert len(allowed.response.attachments) == 1
    assert "Channels: all" in (await server.command(chief, "admin channels", channel=other)).content
    assert len((await imagine(server)).attachments) == 1


async def test_blocked_words_are_refused_everywhere(server: Server, chief: simcord.MemberActor) -> None:
    first = await drawn(server)
    await server.command(chief, "admin word", word="Blood")
    assert "“blood” is not allowed" in (await imagine(server, "a man img in BLOOD")).content
    assert "“blood” is not allowed" in (await imagine(server, "a man img in \uff42lo\u00ado\u200bd")).content
    assert len((await imagine(server, "a man img with bloodless lips")).attachments) == 1
    shown = await server.ada.click(first, label="Change")
    result = await server.ada.submit_modal(shown, {"prompt": "a man img, blood", "negative": "", "seed": ""})
    await server.quiet()
    assert result.response is not None
    assert "is not allowed" in result.response.content
    assert "none" in (await server.command(chief, "admin word", word="bl\u200b\u043e\u043ed")).content
    assert "between 1 and 60" in (await server.command(chief, "admin word", word="x" * 61)).content


def test_words_are_matched_whole_and_phrases_too() -> None:
    rules = Rules(blocked_words=("no.pe", "two words", "ü"))
    assert blocked_word(rules, ("that is NO.PE!", "")) == "no.pe"
    assert blocked_word(rules, ("noxpe", "two, words", "overly")) is None
    assert blocked_word(rules, ("", "two \n words")) == "two words"
    assert blocked_word(rules, ("", "Two words")) == "two words"
    assert blocked_word(rules, ("über", "Ü")) == "ü"


async def test_a_member_has_only_so_many_open_jobs(
    server: Server, chief: simcord.MemberActor, hold: threading.Event
) -> None:
    await server.add(server.ada, "newton")
    assert "Open jobs of a member: 2" in (await server.command(chief, "admin limit", jobs=2)).content
    for _ in range(2):
        await server.ada.slash(server.channel, "imagine", prompt="a man img")
    refused = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    assert refused.response is not None
    assert "Open jobs of yours: 2" in refused.response.content
    queue = await server.ada.slash(server.channel, "queue")
    assert queue.response is not None
    assert "2 jobs are open" in queue.response.content
    assert queue.response.content.count("yours") == 2
    hold.set()
    await server.quiet()
    assert "Nothing is waiting" in (await server.command(server.ada, "queue")).content
    assert "as many as the bot allows" in (await server.command(chief, "admin limit")).content


async def test_only_the_operator_drains(server: Server, chief: simcord.MemberActor) -> None:
    await server.add(server.ada, "newton")
    assert "Only the bot's operator" in (await server.command(chief, "admin drain")).content
    server.bot.owner_id = chief.id
    assert "take no new jobs" in (await server.command(chief, "admin drain")).content
    assert "about to be restarted" in (await imagine(server)).content
    assert "again" in (await server.command(chief, "admin drain", off=True)).content
    assert len((await imagine(server)).attachments) == 1
    assert "delivered: 1" in (await server.command(chief, "admin stats")).content


async def test_roles_have_limits_of_their_own(
    server: Server, chief: simcord.MemberActor, hold: threading.Event
) -> None:
    guild = server.env.guild
    patron = guild.create_role("patron")
    eve = guild.add_member(server.env.create_user("eve"), roles=[patron])
    await server.command(chief, "admin limit", jobs=1)
    told = await server.command(chief, "admin limit", jobs=2, role=patron)
    assert f"Open jobs of a member: 1, <@&{patron.id}> 2" in told.content
    for member in (server.ada, eve):
        await server.add(member, "newton")
    for member in (server.ada, eve):
        await member.slash(server.channel, "imagine", prompt="a man img")
    refused = await server.ada.slash(server.channel, "imagine", prompt="a man img")
    assert refused.response is not None
    assert "Open jobs of yours: 1" in refused.response.content
    allowed = await eve.slash(server.channel, "imagine", prompt="a man img")
    assert allowed.response is not None
    assert "before yours" in allowed.response.content
    hold.set()
    await server.quiet()
    assert f"<@&{patron.id}>" not in (await server.command(chief, "admin limit", role=patron)).content


async def test_a_server_has_defaults_that_preferences_override(server: Server, chief: simcord.MemberActor) -> None:
    await server.add(server.ada, "newton")
    told = await server.command(chief, "admin defaults", style="Cinematic", quality="best")
    assert "Where a member says nothing: Cinematic, best" in told.content
    assert "Style: Cinematic" in (await server.command(server.ada, "settings")).content
    drawn_so = await imagine(server)
    assert "Cinematic · quality: best" in drawn_so.content
    await server.command(server.ada, "settings", style="Line art")
    assert "Line art · quality: best" in (await imagine(server)).content
    assert "the bot’s own settings" in (await server.command(chief, "admin defaults")).content


async def test_who_does_not_manage_the_server_is_refused_even_where_discord_shows_the_command(server: Server) -> None:
    (admin,) = (one for one in await server.bot.tree.fetch_commands() if one.name == "admin")
    server.env.guild.set_command_permissions(admin, {server.ada: True})
    refused = await server.command(server.ada, "admin pause")
    assert refused.content == "You may not use this command here."
    assert not (await ServerStore(server.bot.database).rules(server.env.guild.id)).is_paused


async def test_a_servers_statistics_count_its_own_jobs_only(server: Server, chief: simcord.MemberActor) -> None:
    await server.add(server.ada, "newton")
    await server.ada.user.slash("imagine", prompt="a man img")
    elsewhere = server.env.create_guild("Elsewhere")
    stranger = elsewhere.add_member(server.env.create_user("eve"))
    channel = elsewhere.create_text_channel("pictures")
    await stranger.slash(channel, "identity add", name="newton", consent=FICTION, photo1=upload())
    await stranger.slash(channel, "imagine", prompt="a man img")
    await server.quiet()
    told = (await server.command(chief, "admin stats")).content
    assert told.startswith("No jobs yet.")
    assert "delivered" not in told
    await imagine(server)
    told = (await server.command(chief, "admin stats")).content
    assert told.startswith("Jobs of this server that are stored, by their state:\ndelivered: 1")
