"""Everything that can be used, tried by strangers, members of other servers, former members and in direct messages.

What comes of it is docs/access.md: ``ACCESS_TABLE=write pytest -n 0 tests/bot/test_access*.py`` writes it anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import discord
import pytest
import simcord
from simcord import actors

from bot.services import memberships
from tests.support.access_page import compare
from tests.support.access_walk import ATTEMPTS, OF_EVERYBODY, THEIR_OWN, Actor, Outcome, Walk, told_by, unwalked
from tests.support.server import FICTION, Server, rows, upload

_PICTURE_FORMS = {
    "Change": {"prompt": "a man img and a man img", "negative": "", "seed": ""},
    "Keep prompt": {"name": "kept", "prompt": "a man img"},
    "Report": {"reason": "not nice"},
}

Row = Mapping[str, Outcome]


@pytest.fixture
def remembers_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memberships, "REMEMBERED_S", 0.0)


@pytest.fixture
async def walk(server: Server, tmp_path: Path, remembers_nobody: None) -> AsyncIterator[Walk]:
    await server.add(server.ada, "zebedee", upload(1), upload(2), upload(3))
    await server.add(server.ada, "yorick", upload(4))
    await server.command(server.ada, "prompt save", name="house", prompt="a man img at my own house")
    await server.command(server.ada, "imagine", prompt="a man img in secret woods", identity="zebedee")
    ((zebedee,), _) = rows(tmp_path, "SELECT id FROM identities ORDER BY id")
    assert isinstance(zebedee, int)
    guest = server.env.guild.add_member(server.env.create_user("carl"))
    yield Walk(server, tmp_path, zebedee, guest.user)
    assert not server.unexpected_errors()


@pytest.fixture
async def actors_here(server: Server, walk: Walk) -> list[Actor]:
    """Who tries, in the table's order; the former member was on the server when zebedee was drawn."""
    guild = server.env.guild
    former = guild.add_member(server.env.create_user("dan"))
    guild.remove_member(former)
    elsewhere = server.env.create_guild("Elsewhere")
    eve = elsewhere.add_member(server.env.create_user("eve"))
    strangers = [
        Actor("a stranger on the server", server.bob, server.channel),
        Actor("a member of another server", eve, elsewhere.create_text_channel("art")),
        Actor("a former member, in a DM", former.user),
    ]
    for one in strangers:
        await one.slash("identity add", {"name": "mine", "consent": FICTION, "photo1": upload(9)})
        await one.slash("prompt save", {"name": "mine", "prompt": "a man img and a man img"})
        await server.quiet()
    return [
        *strangers,
        Actor("its owner, in a DM", server.ada.user, is_owner=True),
        Actor("its owner", server.ada, server.channel, is_owner=True),
    ]


def test_no_command_and_no_option_is_forgotten(server: Server) -> None:
    assert unwalked(server.bot.tree) == []
    assert not THEIR_OWN & set(ATTEMPTS)


def test_discord_is_told_to_whom_commands_are_offered(server: Server) -> None:
    admin = server.bot.tree.get_command("admin")
    assert isinstance(admin, discord.app_commands.Group)
    assert admin.default_permissions == discord.Permissions(manage_guild=True)
    assert admin.guild_only
    others = [one for one in server.bot.tree.get_commands() if one is not admin]
    assert [one.name for one in others if one.guild_only or one.default_permissions is not None] == []
    assert server.bot.tree.allowed_contexts.to_array() == [0, 1, 2]


async def test_commands(server: Server, walk: Walk, actors_here: list[Actor]) -> None:
    table: dict[str, Row] = {}
    for name, attempts in ATTEMPTS.items():
        found: dict[str, list[Outcome]] = {}
        for actor in actors_here:
            is_owner = actor.is_owner
            tried = attempts[:1] if is_owner else attempts
            for options in map(walk.with_number, tried):
                if is_owner and name in ("identity rename", "identity delete", "prompt delete"):
                    options = await _spare(server, actor, name, options)
                outcome = await walk.attempt(
                    lambda actor=actor, name=name, options=options: actor.slash(name, options),
                    is_owner=is_owner,
                    typed=str(options),
                )
                found.setdefault(actor.title, []).append(outcome)
        table[f"`/{name}`"] = {title: _one_of(outcomes) for title, outcomes in found.items()}
        for actor in actors_here[:3]:
            assert all(
                one.sentence is not None or not (set(options) - {"new_name", "number"})
                for one, options in zip(found[actor.title], attempts, strict=True)
            ), f"/{name} lets {actor.title} use what is ada's"
    _compare("commands", "What is tried on ada's person, picture or prompt", table, [one.title for one in actors_here])


async def _spare(server: Server, actor: Actor, name: str, options: dict[str, object]) -> dict[str, object]:
    """The owner's try at what would end the world, on something of theirs beside it."""
    spare = f"spare {'dm' if actor.channel is None else 'here'}"
    if name == "prompt delete":
        await server.command(server.ada, "prompt save", name=spare, prompt="a man img")
    elif name == "identity rename":
        await server.add(server.ada, spare, upload(3))
        return {**options, "name": spare, "new_name": f"{spare} 2"}
    else:
        spare = f"{spare} 2"
    return {**options, "name": spare}


async def test_what_is_somebody_elses_is_suggested_to_nobody(server: Server, actors_here: list[Actor]) -> None:
    """Not of /admin's either, where a server's settings offer it to somebody who does not manage it."""
    (admin,) = (one for one in await server.bot.tree.fetch_commands() if one.name == "admin")
    server.env.guild.set_command_permissions(admin, {server.bob: True})
    for actor in actors_here[:3]:
        for command in server.bot.tree.walk_commands():
            if not isinstance(command, discord.app_commands.Command):
                continue
            is_moderators = command.qualified_name.startswith("admin ")
            if is_moderators and actor.member is not server.bob:
                continue
            for option in command.parameters:
                if option.autocomplete:
                    found = await actor.autocomplete(command.qualified_name, option.name)
                    own = [] if is_moderators or option.name == "lora" else ["mine"]
                    assert found == own, f"/{command.qualified_name} {option.name}"


async def test_the_controls_of_a_picture(server: Server, walk: Walk, actors_here: list[Actor]) -> None:
    together = await server.command(
        server.ada, "together", id1="zebedee", id2="yorick", prompt="a man img and a man img in secret woods"
    )
    several = await server.command(
        server.ada, "imagine", prompt="a man img in secret woods", identity="zebedee", count=2
    )
    moderator = _moderator(server)
    who = [*actors_here[:2], moderator, actors_here[4]]
    table: dict[str, Row] = {}
    for label in _labels(together):
        row: dict[str, Outcome] = {}
        for actor in who:
            message, is_owner = together, actor.is_owner
            if label == "Delete" and (is_owner or actor.title == moderator.title):
                message = await server.command(server.ada, "imagine", prompt="a man img", identity="zebedee")
            free = label in ("Keep prompt", "Report") or (label == "Delete" and actor.title == moderator.title)
            row[actor.title] = await walk.attempt(
                lambda actor=actor, message=message, label=label: _click(actor, message, label),
                is_owner=is_owner or free,
            )
            assert is_owner or free or row[actor.title].sentence or not row[actor.title].is_offered, label
        table[f"**{label}**"] = row
    row = {}
    for actor in who:
        row[actor.title] = await walk.attempt(
            lambda actor=actor: actor.member.select(several, ["upscale:1"], custom_id="photomaker:rework"),
            is_owner=actor.is_owner,
        )
    table["the menu *Upscale or vary one of them*"] = row
    _compare("controls", "Under ada's picture", table, [one.title for one in who])


async def test_what_only_its_reader_sees_answers_nobody_else(
    server: Server, walk: Walk, actors_here: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord shows these to one person; forged clicks by others must do nothing all the same."""
    asked = await server.command(server.ada, "identity ask", member=server.bob)
    assert asked.ephemeral
    request = server.bob.user.dm_channel.history()[-1]
    shown = {
        "/identity list": await server.command(server.ada, "identity list"),
        "/history": await server.command(server.ada, "history"),
        "/identity activity": await server.command(server.ada, "identity activity", name="zebedee"),
        "/privacy delete": await server.command(server.ada, "privacy delete"),
    }
    for name, message in shown.items():
        assert message.ephemeral, name
    stranger = server.env.guild.add_member(server.env.create_user("mallory"))
    buttons = [(name, one, custom_id) for name, one in shown.items() for custom_id in _custom_ids(one.components)]
    assert {name for name, _, _ in buttons} >= {"/identity activity", "/privacy delete"}
    for _, message, custom_id in buttons:
        outcome = await walk.attempt(
            lambda message=message, custom_id=custom_id: stranger.click(message, custom_id=custom_id), is_owner=False
        )
        assert not outcome.is_offered
    _show_everything(monkeypatch)
    for name, message, custom_id in buttons:
        if custom_id not in _custom_ids(message.components):
            continue  # An answer to the click before has taken the buttons away.
        stored, page = walk.stored(), message.components
        result = await stranger.click(message, custom_id=custom_id)
        await server.quiet()
        assert told_by(result)
        assert walk.stored() == stored, (name, custom_id)
        told = [message.components] if message.components != page else []
        assert "secret woods" not in str([told, [one.content for one in result.followups]]), (name, custom_id)
    for label in ("Lend my likeness", "No", "Let nobody ask me"):
        stored = walk.stored()
        result = await stranger.user.click(request, label=label)
        await server.quiet()
        assert "can answer this" in told_by(result)
        assert walk.stored() == stored


def _show_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on people can click what Discord does not show them."""

    def anything(actor: simcord.MemberActor, message: simcord.ResponseMessage | discord.Message) -> object:
        channel = message.channel.id if isinstance(message, discord.Message) else message.channel_id
        return actor._env.backend.get_message(channel, message.id)

    for check in ("_check_actor_channel", "_check_user_dm_channel"):
        monkeypatch.setattr(actors, check, lambda actor, channel: None)
    monkeypatch.setattr(actors, "_visible_message", anything)
    monkeypatch.setattr(simcord.MemberActor, "_message", anything)


def _moderator(server: Server) -> Actor:
    role = server.env.guild.create_role("moderators", permissions=discord.Permissions(manage_messages=True))
    member = server.env.guild.add_member(server.env.create_user("mia"), roles=[role])
    return Actor("a moderator", member, server.channel)


async def _click(actor: Actor, message: simcord.ResponseMessage, label: str) -> simcord.InteractionResult:
    shown = await actor.member.click(message, label=label)
    if shown.modal is None:
        return shown
    return await actor.member.submit_modal(shown, _PICTURE_FORMS[label])


def _labels(message: simcord.ResponseMessage) -> list[str]:
    return [one["label"] for row in message.components for one in row["components"] if one.get("label")]


def _custom_ids(components: object) -> list[str]:
    if isinstance(components, list):
        return [one for part in components for one in _custom_ids(part)]
    if isinstance(components, dict):
        own = [components["custom_id"]] if components.get("type") == 2 and not components.get("disabled") else []
        return [*own, *(one for part in components.values() for one in _custom_ids(part))]
    return []


def _one_of(outcomes: list[Outcome]) -> Outcome:
    """What came of several tries of the same thing: all must have gone the same way."""
    assert len({(one.sentence is None, one.is_offered) for one in outcomes}) == 1, outcomes
    sentences = list(dict.fromkeys(one.sentence for one in outcomes if one.sentence))
    return replace(outcomes[0], sentence=" / ".join(sentences) or None)


def _compare(part: str, head: str, table: Mapping[str, Row], titles: list[str]) -> None:
    notes = list(dict.fromkeys(one.sentence for row in table.values() for one in row.values() if one.sentence))
    cells = {thing: [_cell(thing, title, row[title], notes) for title in titles] for thing, row in table.items()}
    compare(part, (head, *titles), cells, notes)


def _cell(thing: str, title: str, outcome: Outcome, notes: list[str]) -> str:
    if not outcome.is_offered:
        return "not offered"
    if outcome.sentence is not None:
        return f"no ({notes.index(outcome.sentence) + 1})"
    shows_own = thing.strip("`/") in ATTEMPTS and thing.strip("`/") not in OF_EVERYBODY
    return "their own alone" if shows_own and not title.startswith("its owner") else "yes"
