"""Tests of the rules that requests are held against, and a trial of the bot with the longest that members can type."""

from __future__ import annotations

from typing import Any

import discord
import pytest
import simcord

from bot.domain.draw_request import MAX_PROMPT_CHARACTERS
from bot.i18n.catalogue import gettext, language_of, speaking
from storage import IdentityStore, NewPhoto, PromptStore, Rules, ServerStore
from tests.support.discord_rules import Request, complaints, is_described
from tests.support.server import FICTION, Server, click, says, upload

CALLBACK = "/interactions/1/token/callback"
EDIT = "/webhooks/1/token/messages/@original"
SEND = "/channels/1/messages"
V2 = 1 << 15

pytestmark = pytest.mark.skipif(not is_described(), reason="Discord's description of its API is not at hand")


def button(**changes: Any) -> dict[str, Any]:
    return {"type": 2, "style": 1, "label": "Go", "custom_id": "go", **changes}


def menu(**changes: Any) -> dict[str, Any]:
    options = [{"label": str(number), "value": str(number)} for number in range(3)]
    return {"type": 3, "custom_id": "menu", "options": options, **changes}


def row(*components: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(components)}


def text(content: str) -> dict[str, Any]:
    return {"type": 10, "content": content}


def modal(*components: dict[str, Any], **changes: Any) -> Request:
    fields = [{"type": 18, "label": "Field", "component": one} for one in components]
    data = {"custom_id": "form", "title": "Form", "components": fields, **changes}
    return Request("POST", CALLBACK, {"type": 9, "data": data})


def field(**changes: Any) -> dict[str, Any]:
    return {"type": 4, "custom_id": "text", "style": 1, **changes}


def message(**body: Any) -> Request:
    return Request("PATCH", EDIT, body)


def with_files(number: int, size: int = 1, **body: Any) -> Request:
    attachments = [{"id": index, "filename": f"{index}.png"} for index in range(number)]
    return Request(
        "PATCH", EDIT, {"attachments": attachments, **body}, tuple((f"{one}.png", size) for one in range(number))
    )


@pytest.mark.parametrize(
    "request_",
    [
        message(content="x" * 2000, components=[row(button()) for _ in range(1)]),
        message(components=[{"type": 17, "components": [text("x" * 4000)]}], flags=V2),
        with_files(10, 1024),
        modal(field(value="x" * 100, max_length=100), menu()),
        Request("POST", SEND, {"content": "hello", "nonce": "photomaker-1", "enforce_nonce": True}),
        Request("POST", CALLBACK, {"type": 8, "data": {"choices": [{"name": "a", "value": "a"}] * 25}}),
    ],
    ids=str,
)
def test_what_discord_takes(request_: Request) -> None:
    assert complaints(request_) == []


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (message(content="x" * 2001), "2001 characters"),
        (message(components=[text("x" * 2001), text("x" * 2000)], flags=V2), "4001 characters"),
        (message(components=[text("x")]), "without their flag"),
        (message(content="x", components=[text("x")], flags=V2), "in a message of components"),
        (message(components=[row(button(custom_id=str(one))) for one in range(6)]), "6 rows"),
        (message(components=[text("x")] * 41, flags=V2), "41 components"),
        (message(components=[row(*[button(custom_id=str(one)) for one in range(6)])]), "is too long"),
        (message(components=[row(button(), button())]), "'go' twice"),
        (message(components=[row(button(custom_id="x" * 101))]), "is too long"),
        (message(components=[row(button(label="x" * 81))]), "is too long"),
        (message(components=[row(button(label=None))]), "neither label nor emoji"),
        (message(components=[row(menu(placeholder="x" * 151))]), "is too long"),
        (message(components=[row(menu(max_values=4))]), "more can be chosen"),
        (message(components=[row(menu(options=[{"label": "a", "value": "a"}] * 2))]), "same value twice"),
        (
            message(components=[row(menu(options=[{"label": str(one), "value": str(one)} for one in range(26)]))]),
            "is too long",
        ),
        (message(components=[row(menu(), button())]), "a menu and something else"),
        (with_files(11), "11 attachments"),
        (with_files(2, 6 * 1024 * 1024), "bytes of files"),
        (Request("PATCH", EDIT, {"attachments": [{"id": 0}]}), "not there"),
        (
            message(components=[{"type": 12, "items": [{"media": {"url": "attachment://a.png"}}]}], flags=V2),
            "not attached",
        ),
        (modal(field(), title="x" * 46), "too long"),
        (modal(), "0 fields"),
        (modal(*[field(custom_id=str(one)) for one in range(6)]), "6 fields"),
        (modal(field(value="x" * 101, max_length=100)), "holds 101 characters"),
        (modal(field(max_length=4001)), "4001"),
        (modal(field(min_length=9, max_length=8)), "takes 9 to 8"),
        (Request("POST", SEND, {"content": " "}), "an empty message"),
        (Request("POST", SEND, {"content": "x", "nonce": "n" * 26}), "nonce"),
        (Request("POST", CALLBACK, {"type": 8, "data": {"choices": [{"name": "a", "value": "a"}] * 26}}), "26 choices"),
        (Request("POST", "/channels/1/nonsense", {}), "describes no such request"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_discord_refuses(request_: Request, complaint: str) -> None:
    assert any(complaint in one for one in complaints(request_)), complaints(request_)


LOCALES = ["en-US", "de", "es-ES", "zh-CN"]
LONG_NAMES = ["*" * 32, "`_`|" * 8, "ع" * 32, "👩‍🚀" * 10]
LONG_PROMPT = "a man img " + "*_`[~" * 50 + " https://a.example/" + "x_y" * 20 + " <@123> \u202e "
LONG_PROMPT += "w" * (MAX_PROMPT_CHARACTERS - len(LONG_PROMPT))
LONG_NEGATIVE = "_" * MAX_PROMPT_CHARACTERS


@pytest.mark.parametrize("locale", ["de", "zh-CN"])
@pytest.mark.timeout(600)
async def test_the_longest_prompts_and_names_fit_everywhere(server: Server, locale: str) -> None:
    server.locales[server.ada.id] = locale
    for name in LONG_NAMES:
        await server.add(server.ada, name)
    people = dict(zip(("id1", "id2", "id3", "id4"), LONG_NAMES, strict=True))
    look = {"style": "Photographic", "aspect": "5:6 portrait"}
    mixed = await server.command(
        server.ada, "mix", prompt=LONG_PROMPT, weights="17 33 25 25", count=4, quality="best", **look, **people
    )
    assert len(mixed.attachments) == 4
    drawn = await server.command(
        server.ada, "imagine", prompt=LONG_PROMPT, negative=LONG_NEGATIVE, steps=1, style_strength=80, **look
    )
    assert len(drawn.attachments) == 1
    forms = {
        "Change": {"prompt": LONG_PROMPT, "negative": LONG_NEGATIVE, "seed": "not a number"},
        "Keep prompt": {"name": LONG_NAMES[1], "prompt": LONG_PROMPT},
        "Report": {"reason": "*\n" * 250},
    }
    for label, values in forms.items():
        shown = await server.ada.click(drawn, label=in_language(locale, label))
        assert says(await server.ada.submit_modal(shown, values))
    await click(server, server.ada, mixed, in_language(locale, "Send me"))
    await server.ada.select(mixed, ["subtle:3"])
    for _ in range(4):
        await server.command(server.ada, "imagine", prompt=LONG_PROMPT, identity=LONG_NAMES[2], steps=1)
    history = await server.command(server.ada, "history")
    await click(server, server.ada, history, in_language(locale, "Older"))
    for name in (LONG_NAMES[0], "w" * 4000):
        shown = await server.ada.slash(server.channel, "identity add", name=name)
        photos = [upload(number, f"{'_' * 100}{number}.jpg") for number in range(10)]
        values = {"name": "`" * 32, "consent": [FICTION], "photos": photos}
        assert says(await server.ada.submit_modal(shown, values))
    shown = await server.ada.slash(server.channel, "identity add-photos", name=LONG_NAMES[2])
    assert says(
        await server.ada.submit_modal(shown, {"consent": [FICTION], "photos": [("*" * 200 + ".txt", b"no picture")]})
    )
    for command, options in (
        ("help", {}),
        ("settings", {"style": "Photographic", "quality": "best"}),
        ("style", {}),
        ("history", {}),
        ("prompt list", {}),
        ("identity show", {"name": LONG_NAMES[0]}),
        ("identity share", {"name": LONG_NAMES[1]}),
        ("imagine", {"prompt": LONG_PROMPT, "identity": "_" * 4000}),
        ("imagine", {"prompt": LONG_PROMPT, "lora": "`" * 4000}),
        ("identity rename", {"name": "`" * 4000, "new_name": "`" * 4000}),
        ("privacy export", {}),
        ("privacy delete", {}),
    ):
        await server.command(server.ada, command, **options)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.timeout(600)
async def test_long_lists_fit_everywhere(server: Server, chief: simcord.MemberActor, locale: str) -> None:
    for member in (server.ada, chief):
        server.locales[member.id] = locale
    await server.add(server.ada, "newton")
    people, prompts = IdentityStore(server.bot.database), PromptStore(server.bot.database)
    for number in range(30):
        name = f"{number:02}{'`' * 30}"
        await people.add(server.ada.id, name, [NewPhoto(b"photo")], FICTION)
        await prompts.save(server.ada.id, name, LONG_PROMPT)
    rules = Rules(
        channels=tuple(range(10**18, 10**18 + 60)),
        role_jobs={str(10**18 + number): 5 for number in range(60)},
        forbidden_loras=tuple(f"lora_{number}" * 20 for number in range(30)),
        blocked_words=tuple(f"{number:03}{'*' * 57}" for number in range(200)),
    )
    assert server.env.guild is not None
    await ServerStore(server.bot.database).update(server.env.guild.id, lambda _: rules)
    for command in ("admin show", "admin stats"):
        assert (await server.command(chief, command)).content
    await server.command(server.ada, "imagine", prompt="a man img")
    listed = await server.command(server.ada, "identity list")
    await click(server, server.ada, listed, in_language(locale, "Next"))
    await server.command(server.ada, "prompt list")
    for command, option in (("imagine", "identity"), ("identity show", "name"), ("prompt use", "name")):
        assert len(await server.ada.autocomplete(server.channel, command, option, "`")) == 25


def in_language(locale: str, label: str) -> str:
    with speaking(language_of(discord.Locale(locale))):
        return gettext(label)
