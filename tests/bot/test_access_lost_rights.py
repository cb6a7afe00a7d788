"""Forms and buttons that were opened while somebody had a right, used after it is gone: part of docs/access.md."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from simcord.backend.errors import BackendError

from bot.app import PhotoMakerBot
from bot.domain.consent import MINE
from bot.services import job_messages, memberships
from bot.tools.demo import SAMPLE_PEOPLE, _FirstSteps
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support.access_page import compare
from tests.support.access_walk import first_words, told_by
from tests.support.server import FICTION, Server, rows, settings, upload

PROMPT = "a man img in secret woods"
OF_TWO = "a man img and a man img in secret woods"
CHANGED = {"prompt": PROMPT, "negative": "", "seed": ""}

Act = Callable[[], Awaitable[object]]


@pytest.fixture(autouse=True)
def remembers_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memberships, "REMEMBERED_S", 0.0)


async def test_forms_that_were_opened_before(server: Server, chief: simcord.MemberActor, tmp_path: Path) -> None:
    table: dict[str, list[str]] = {}
    await _change_form(server, chief, table)
    await _forms_for_everybody(server, table)
    await _photos_form(server, tmp_path, table)
    await _save_form(server, tmp_path, table)
    await _lend_form(server, tmp_path, table)
    compare("later", ("What is open", "What happens before it is sent", "What comes of it"), _numbered(table))


async def _change_form(server: Server, chief: simcord.MemberActor, table: dict[str, list[str]]) -> None:
    await server.add(server.ada, "zebedee")
    share = {"name": "zebedee", "member": server.bob}
    await server.command(server.ada, "identity share", **share)
    picture = await server.command(server.bob, "imagine", prompt=PROMPT, identity="zebedee")
    other = server.env.guild.create_text_channel("art")
    endings: dict[str, tuple[Act, Act | None]] = {
        "the person is not shared any more": (
            lambda: server.command(server.ada, "identity unshare", name="zebedee"),
            lambda: server.command(server.ada, "identity share", **share),
        ),
        "drawing is paused on the server": (
            lambda: server.command(chief, "admin pause"),
            lambda: server.command(chief, "admin resume"),
        ),
        "drawing is not allowed in the channel any more": (
            lambda: server.command(chief, "admin channels", channel=other),
            lambda: server.command(chief, "admin channels"),
        ),
        "a word of the prompt is blocked": (
            lambda: server.command(chief, "admin word", word="woods"),
            lambda: server.command(chief, "admin word", word="woods"),
        ),
        "the person is deleted": (lambda: server.command(server.ada, "identity delete", name="zebedee"), None),
    }
    for ending, (lose, give_back) in endings.items():
        shown = await server.bob.click(picture, label="Change")
        await lose()
        result = await server.bob.submit_modal(shown, CHANGED)
        await server.quiet()
        assert result.response is not None
        assert result.response.attachments == [], ending
        _note(table, "Change", ending, result)
        if give_back is not None:
            await give_back()


async def _forms_for_everybody(server: Server, table: dict[str, list[str]]) -> None:
    for label, values in (
        ("Keep prompt", {"name": "kept", "prompt": "a man img on the moon"}),
        ("Report", {"reason": "not nice"}),
    ):
        await server.add(server.ada, "zebedee")
        picture = await server.command(server.ada, "imagine", prompt=PROMPT, identity="zebedee")
        shown = await server.bob.click(picture, label=label)
        await _erase(server, server.ada)
        _note(table, label, "the picture's member erases their data", await _sent(server, server.bob, shown, values))


async def _photos_form(server: Server, folder: Path, table: dict[str, list[str]]) -> None:
    more: dict[str, Any] = {"consent": [FICTION], "photos": [upload(5)]}

    async def opened() -> simcord.InteractionResult:
        return await server.ada.slash(server.channel, "identity add-photos", name="newton")

    await server.add(server.ada, "newton", upload(1))
    shown = await opened()
    await server.command(server.ada, "identity rename", name="newton", new_name="isaac")
    await server.add(server.ada, "newton", upload(2))
    told = await _sent(server, server.ada, shown, more)
    assert "**isaac**" in told_by(told)
    _note(table, "`/identity add-photos`", "the person is renamed, and another is called so", told)
    shown = await opened()
    await server.command(server.ada, "identity delete", name="newton")
    await server.add(server.ada, "newton", upload(3))
    told = await _sent(server, server.ada, shown, more)
    _note(table, "`/identity add-photos`", "the person is deleted, and another is called so", told)
    counts = rows(
        folder, "SELECT name, count(*) FROM identities JOIN id_photos ON identity_id = identities.id GROUP BY 1"
    )
    assert dict(counts) == {"isaac": 2, "newton": 1}  # type: ignore[arg-type]


async def _save_form(server: Server, folder: Path, table: dict[str, list[str]]) -> None:
    posted = await server.bob.send(server.channel, "me", attachments=[upload(4, "a.png")])
    shown = await server.ada.context_menu(server.channel, "Save as identity", posted)
    await server.command(server.bob, "privacy opt-out")
    told = await _sent(server, server.ada, shown, {"name": "bob", "consent": [FICTION]})
    _note(table, "*Save as identity*", "the message's author opts out", told)
    assert rows(folder, "SELECT id FROM identities WHERE name = 'bob'") == []
    await server.command(server.bob, "privacy opt-out", off=True)


async def _lend_form(server: Server, folder: Path, table: dict[str, list[str]]) -> None:
    endings: dict[str, Callable[[discord.Message], Awaitable[object]]] = {
        "who is asked opts out": lambda _: server.command(server.bob, "privacy opt-out"),
        "who is asked says no elsewhere": lambda message: server.bob.user.click(message, label="No"),
        "who asked erases their data": lambda _: _erase(server, server.ada),
    }
    for ending, lose in endings.items():
        rows(folder, "DELETE FROM identity_requests")
        await server.command(server.bob, "privacy opt-out", off=True)
        await server.command(server.ada, "identity ask", member=server.bob)
        message = server.bob.user.dm_channel.history()[-1]
        shown = await server.bob.user.click(message, label="Lend my likeness")
        await lose(message)
        lent: dict[str, Any] = {"name": "bob", "consent": [MINE], "photos": [upload(6)]}
        _note(table, "Lend my likeness", ending, await _sent(server, server.bob.user, shown, lent))
        assert rows(folder, "SELECT id FROM identities WHERE owner_id = ?", server.bob.id) == []
        assert rows(folder, "SELECT * FROM identity_shares") == []


async def _erase(server: Server, member: simcord.MemberActor) -> None:
    await member.click(await server.command(member, "privacy delete"), label="Delete everything")
    await server.quiet()


async def test_the_controls_of_a_picture_in_a_dm(
    server: Server, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    guild = server.env.guild
    for name, seed in (("zebedee", 1), ("yorick", 2)):
        await server.add(server.ada, name, upload(seed))
        await server.command(server.ada, "identity share", name=name)
    one = {"id1": "zebedee", "id2": "yorick", "prompt": OF_TWO}
    await server.bob.slash(server.channel, "together", **one)
    await server.bob.slash(server.channel, "imagine", prompt=PROMPT, identity="zebedee", count=2)
    with monkeypatch.context() as patch:
        patch.setattr(job_messages, "TOKEN_LIFETIME", timedelta(0))
        path = f"/channels/{server.channel.id}/messages"
        server.env.inject_error("POST", path, status=403, code=50001, times=2)
        hold.set()
        await server.quiet()
    single, several = (
        next(one for one in server.bob.user.dm_channel.history() if len(one.attachments) == number) for number in (1, 2)
    )
    labels = [one.label for row in single.components for one in row.children if one.label != "Delete"]  # type: ignore[union-attr]
    endings: dict[str, tuple[Act, Act]] = {
        "the person is not shared any more": (
            lambda: server.command(server.ada, "identity unshare", name="zebedee"),
            lambda: server.command(server.ada, "identity share", name="zebedee"),
        ),
        "the person's owner has left the server": (
            lambda: _now(guild.remove_member, server.ada),
            lambda: _now(guild.add_member, server.ada.user),
        ),
        "who drew it has left the server": (lambda: _now(guild.remove_member, server.bob), lambda: _now(list)),
    }
    table: dict[str, list[str]] = {}
    for lose, give_back in endings.values():
        await lose()
        for label in labels:
            result = await _pressed(server.bob.user, single, label)
            await server.quiet()
            draws_nothing = result.response is None or result.response.attachments == []
            assert draws_nothing, label
            table.setdefault(f"**{label}**", []).append(_outcome(result, is_free=label in _FREE))
        result = await server.bob.user.select(several, ["upscale:1"], custom_id="photomaker:rework")
        await server.quiet()
        table.setdefault("the menu *Upscale or vary one of them*", []).append(_outcome(result))
        await give_back()
    await server.bob.user.click(single, label="Delete")
    await server.quiet()
    assert single.id not in [one.id for one in server.bob.user.dm_channel.history()]
    notes = list(dict.fromkeys(cell for cells in table.values() for cell in cells if cell != "yes"))
    shown = {
        thing: [one if one == "yes" else f"no ({notes.index(one) + 1})" for one in cells]
        for thing, cells in table.items()
    }
    compare("controls in a dm", ("Under a picture with ada's person", *endings), shown, notes)


_FREE = ("Send me", "Keep prompt", "Report")


async def test_a_share_with_a_member_lives_on_and_one_with_a_server_does_not(server: Server) -> None:
    for name in ("zebedee", "yorick"):
        await server.add(server.ada, name)
    await server.command(server.ada, "identity share", name="zebedee", member=server.bob)
    await server.command(server.ada, "identity share", name="yorick")
    server.env.guild.remove_member(server.bob)
    values = [one["value"] for one in await server.bob.user.autocomplete("imagine", "identity", "")]
    assert len(values) == 1
    for identity, pictures in ((values[0], 1), ("zebedee", 1), ("yorick", 0)):
        drawn = await server.bob.user.slash("imagine", prompt="a man img", identity=identity)
        await server.quiet()
        assert drawn.response is not None
        assert len(drawn.response.attachments) == pictures, identity
    await server.command(server.ada, "identity unshare", name="zebedee")
    assert await server.bob.user.autocomplete("imagine", "identity", "") == []


async def test_cancel_is_its_members_and_the_moderators_of_now(
    server: Server, chief: simcord.MemberActor, hold: threading.Event, tiny_model: PhotoMaker, tmp_path: Path
) -> None:
    await server.restart(PhotoMakerBot(settings(tmp_path, max_batch=1), load=lambda: tiny_model))
    await server.bot.resumed.wait()
    await server.add(server.ada, "zebedee")
    first, second = [await server.ada.slash(server.channel, "imagine", prompt="a man img") for _ in range(2)]
    assert first.response is not None
    assert second.response is not None
    refused = await server.bob.click(first.response, label="Cancel")
    assert "only they can do that" in told_by(refused)
    guild = server.env.guild
    guild.remove_member(chief)
    deposed = guild.add_member(chief.user)
    assert "only they can do that" in told_by(await deposed.click(first.response, label="Cancel"))
    assert len(rows(tmp_path, "SELECT id FROM jobs WHERE state IN ('queued', 'running')")) == 2
    await server.ada.click(second.response, label="Cancel")
    hold.set()
    await server.quiet()
    assert rows(tmp_path, "SELECT state FROM jobs ORDER BY id") == [("delivered",), ("cancelled",)]


async def test_the_buttons_of_help_are_everybodys_own(server: Server) -> None:
    for number in range(12):
        await server.add(server.ada, f"zebedee{number}", upload(number))
    page = await server.command(server.ada, "identity list")
    assert "Next" in str(page.components)
    help_ = await server.command(server.bob, "help")
    for label in ("Draw them in a red hat", "Mix my last two people"):
        told = await server.bob.click(help_, label=label)
        await server.quiet()
        assert "zebedee" not in told_by(told)
        assert told.response is not None
        assert told.response.attachments == []
    assert (await server.bob.click(help_, label="Add a person")).modal is not None


async def test_the_demos_buttons_are_everybodys_own(server: Server, tmp_path: Path) -> None:
    for number, name in enumerate(SAMPLE_PEOPLE):
        (tmp_path / f"{name}-1.png").write_bytes(upload(number)[1])
    view = _FirstSteps(server.bot, tmp_path)
    posted = await server.bot.get_partial_messageable(server.channel.id).send("Welcome", view=view)
    await server.ada.click(posted, label="Add the sample people")
    await server.quiet()
    told = await server.bob.click(posted, label="Draw ada")
    await server.quiet()
    assert "no identity called “ada”" in told_by(told)
    assert {owner for (owner,) in rows(tmp_path, "SELECT owner_id FROM identities")} == {server.ada.id}


async def test_save_as_identity_is_for_who_sees_the_message(server: Server, tmp_path: Path) -> None:
    posted = await server.ada.send(server.channel, "me", attachments=[upload(4, "a.png")])
    elsewhere = server.env.create_guild("Elsewhere")
    eve = elsewhere.add_member(server.env.create_user("eve"))
    with pytest.raises(simcord.SetupError):
        await eve.context_menu(elsewhere.create_text_channel("art"), "Save as identity", posted)
    shown = await server.bob.context_menu(server.channel, "Save as identity", posted)
    await _sent(server, server.bob, shown, {"name": "somebody", "consent": [FICTION]})
    assert rows(tmp_path, "SELECT owner_id FROM identities") == [(server.bob.id,)]
    server.env.guild.remove_member(server.bob)
    with pytest.raises(BackendError, match="Missing Access"):
        await server.bob.context_menu(server.channel, "Save as identity", posted)


async def _pressed(user: simcord.UserHandle, message: discord.Message, label: str) -> simcord.InteractionResult:
    shown: simcord.InteractionResult = await user.click(message, label=label)
    if shown.modal is None:
        return shown
    values = {
        "Change": CHANGED | {"prompt": OF_TWO},
        "Keep prompt": {"name": "kept", "prompt": PROMPT},
        "Report": {"reason": "not nice"},
    }
    sent: simcord.InteractionResult = await user.submit_modal(shown, values[label])
    return sent


async def _sent(
    server: Server,
    who: simcord.MemberActor | simcord.UserHandle,
    shown: simcord.InteractionResult,
    values: dict[str, Any],
) -> simcord.InteractionResult:
    assert shown.modal is not None
    result: simcord.InteractionResult = await who.submit_modal(shown, values)
    await server.quiet()
    return result


async def _now(act: Callable[..., object], *arguments: object) -> None:
    act(*arguments)


def _outcome(result: simcord.InteractionResult, *, is_free: bool = False) -> str:
    assert told_by(result)
    return "yes" if is_free else _sentence(result)


def _sentence(result: simcord.InteractionResult) -> str:
    said = [one.content for one in (result.response, *result.followups) if one is not None]
    return first_words(said[-1]).replace("@ada", "@member")


def _note(table: dict[str, list[str]], thing: str, ending: str, result: simcord.InteractionResult) -> None:
    table[f"{thing}: {ending}"] = [_sentence(result)]


def _numbered(table: dict[str, list[str]]) -> dict[str, list[str]]:
    """Cells by their row's two first columns."""
    return {" | ".join(key.split(": ", 1)): cells for key, cells in table.items()}
