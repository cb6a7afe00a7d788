"""Texts in other languages: complete catalogues, Discord's limits, and members whose Discord is not English."""

from __future__ import annotations

import gettext as gnu
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import discord
import pytest

from bot.i18n import catalogue as language
from bot.i18n.catalogue import LANGUAGES, CommandTranslator, gettext, ngettext, speaking
from scripts.translations import Sentence, catalogue, sentences
from tests.support.server import FICTION, Server, upload

_CODES = sorted(set(LANGUAGES.values()))
_PLACEHOLDER = re.compile(r"\{\w+(?::[^}]*)?\}")
_QUOTED = re.compile(r"`[^`]*`|/[a-z][a-z-]+(?: [a-z-]+)?")
_OPEN, _CLOSE = "⟦", "⟧"


@pytest.fixture(scope="module")
def wanted() -> list[Sentence]:
    return sentences()


@pytest.mark.parametrize("code", _CODES)
def test_every_sentence_is_translated_and_none_is_left_over(code: str, wanted: list[Sentence]) -> None:
    known = {message.id: message.string for message in catalogue(code) if message.id}
    assert set(known) == set(wanted), "run: make texts"
    assert [one for one, said in known.items() if not all(said if isinstance(said, tuple) else [said])] == []


@pytest.mark.parametrize("code", _CODES)
def test_translations_keep_the_values_and_the_commands(code: str) -> None:
    for message in catalogue(code):
        english = message.id[-1] if isinstance(message.id, tuple) else message.id
        for said in message.string if isinstance(message.string, tuple) else (message.string,):
            assert sorted(_PLACEHOLDER.findall(said)) == sorted(_PLACEHOLDER.findall(english)), said
            assert sorted(_commands(said)) == sorted(_commands(english)), said


def _commands(text: str) -> list[str]:
    """The texts in backticks, and the commands named outside of them."""
    in_ticks = re.findall(r"`[^`]*`", text)
    return in_ticks + re.findall(r"(?<![\w<])/(?:identity|imagine|mix|prompt|settings)\b", re.sub(r"`[^`]*`", "", text))


async def test_localised_commands_fit_discords_limits(server: Server) -> None:
    translator = CommandTranslator()
    for command in server.bot.tree.get_commands():
        payload = await command.get_translated_payload(server.bot.tree, translator)
        assert _longest(payload) <= 8000, command.name
        for text, most in _described(payload):
            assert 1 <= len(text) <= most, text
        if isinstance(command, discord.app_commands.ContextMenu):
            assert payload["name_localizations"]["de"] == "Als Person speichern"
        else:
            assert set(payload["description_localizations"]) == {"de", "es-ES", "es-419", "zh-CN"}
            assert payload["name_localizations"] == {}


def _longest(payload: dict[str, Any]) -> int:
    """The characters that Discord counts of a command: names, descriptions, values; of localisations the longest."""
    total = len(str(payload.get("value", "")))
    for field in ("name", "description"):
        texts = [payload.get(field) or "", *(payload.get(f"{field}_localizations") or {}).values()]
        total += max(map(len, texts))
    return total + sum(_longest(one) for one in (*payload.get("options", ()), *payload.get("choices", ())))


def _described(payload: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for text in (payload.get("description_localizations") or {}).values():
        yield text, 100
    for text in (payload.get("name_localizations") or {}).values():
        yield text, 32 if "type" in payload else 100
    for one in (*payload.get("options", ()), *payload.get("choices", ())):
        yield from _described(one)


def test_the_form_follows_the_number() -> None:
    assert ngettext("{number} photo", "{number} photos", 1) == "1 photo"
    with speaking("de"):
        assert ngettext("{number} photo", "{number} photos", 2) == "2 Fotos"
        assert gettext("Cancelled.") == "Abgebrochen."
    with speaking("zh_CN"):
        assert ngettext("{number} photo", "{number} photos", 2) == "2 张照片"
    with speaking("xx"):
        assert gettext("Cancelled.") == "Cancelled."


def speak_german(server: Server) -> None:
    server.locales |= {server.ada.id: "de", server.bob.id: "de"}


async def test_a_german_member_is_answered_in_german(server: Server, hold: threading.Event) -> None:
    speak_german(server)
    missing = await server.command(server.ada, "imagine", prompt="a man img")
    assert "Du hast noch keine Person." in missing.content
    added = await server.add(server.ada, "newton")
    assert "**newton**\u2069 ist hinzugefügt, mit 1 Foto." in added.content
    running = await server.ada.slash(server.channel, "imagine", prompt="a man img", seed=4)
    waiting = await server.ada.slash(server.channel, "imagine", prompt="a man img", seed=4)
    assert running.response is not None
    assert waiting.response is not None
    assert "Warten: 1 Auftrag vor deinem." in waiting.response.content
    assert "Abbrechen" in json.dumps(running.response.components)
    hold.set()
    await server.quiet()
    assert "Seed `4` · 3 Schritte · Guidance 5 · 1:1 quadratisch" in running.response.content
    assert "Noch einmal" in json.dumps(running.response.components)
    refused = await server.bob.click(running.response, label="Löschen")
    assert refused.response is not None
    assert "nur dieses Mitglied kann das tun" in refused.response.content


class _Marked(gnu.NullTranslations):
    """A pseudo language: every sentence in brackets, so that what was forgotten stands out."""

    def gettext(self, message: str) -> str:
        return f"{_OPEN}{message}{_CLOSE}"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"{_OPEN}{msgid1 if n == 1 else msgid2}{_CLOSE}"


@pytest.fixture
def marked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    speak_german(server)
    monkeypatch.setattr(language, "_catalogue", lambda _language: _Marked())


def untranslated(text: str) -> str:
    """The rest of a message that is neither in brackets nor a name, a quotation, a mention or a link."""
    while (shorter := re.sub(rf"{_OPEN}[^{_OPEN}{_CLOSE}]*{_CLOSE}", "", text)) != text:
        text = shorter
    for pattern in (r"“[^”]*”", r"\*\*.*?\*\*", r"<[^>]*>", r"\(https?:[^)]*\)", r"`[^`]*`"):
        text = re.sub(pattern, "", text)
    return " ".join(re.findall(r"[^\W\d_]{2,}", text))


def _labels(components: Any) -> Iterator[str]:
    """The texts of buttons, menus, forms and text displays."""
    if isinstance(components, list):
        for one in components:
            yield from _labels(one)
    elif isinstance(components, dict):
        for name in ("label", "placeholder", "title", "content"):
            if isinstance(components.get(name), str):
                yield components[name]
        if components.get("type") == discord.ComponentType.label.value and components.get("description"):
            yield components["description"]
        for name in ("components", "component", "options", "accessory"):
            yield from _labels(components.get(name))


_COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("identity list", {}),
    ("identity show", {"name": "newton"}),
    ("identity share", {"name": "newton"}),
    ("identity show", {"name": "newton"}),
    ("identity unshare", {"name": "newton"}),
    ("identity unshare", {"name": "newton"}),
    ("identity default", {"name": "newton"}),
    ("identity default", {}),
    ("identity rename", {"name": "newton", "new_name": "isaac"}),
    ("identity remove-photo", {"name": "isaac", "number": 9}),
    ("identity remove-photo", {"name": "isaac", "number": 1}),
    ("identity remove-photo", {"name": "isaac", "number": 1}),
    ("settings", {}),
    ("settings", {"quality": "fast", "style": "Cinematic"}),
    ("imagine", {"prompt": "man in a hat " + "very " * 90, "count": 2, "negative": "rain", "style_strength": 40.0}),
    ("imagine", {"prompt": "a man img", "steps": 9000}),
    ("imagine", {"prompt": "a man img", "lora": "none"}),
    ("imagine", {"prompt": "", "identity": "nobody"}),
    ("mix", {"id1": "isaac", "id2": "isaac"}),
    ("mix", {"id1": "isaac", "id2": "isaac", "weights": "one"}),
    ("edit", {}),
    ("edit", {"age": "old"}),
    ("prompt list", {}),
    ("prompt save", {"name": "sea", "prompt": "a man img"}),
    ("prompt save", {"name": "sea", "prompt": "a man img"}),
    ("prompt list", {}),
    ("prompt use", {"name": "sky"}),
    ("prompt delete", {"name": "sea"}),
    ("queue", {}),
    ("history", {}),
    ("style", {}),
    ("help", {}),
    ("privacy export", {}),
    ("privacy delete", {}),
    ("identity delete", {"name": "isaac"}),
)


@pytest.mark.usefixtures("marked")
async def test_nothing_is_said_past_the_catalogue(server: Server) -> None:
    await server.add(server.ada, "newton", upload(1), upload(2))
    forgotten = {}
    for command, options in _COMMANDS:
        reply = await server.command(server.ada, command, **options)
        texts = [reply.content, *_labels(reply.components)]
        assert any(texts), command
        forgotten |= {f"/{command}: {text}": left for text in texts if (left := untranslated(text))}
    assert forgotten == {}


@pytest.mark.usefixtures("marked")
async def test_forms_and_buttons_are_translated(server: Server) -> None:
    form = await server.ada.slash(server.channel, "identity add")
    forms = [form.modal]
    await server.add(server.ada, "newton", consent=FICTION)
    picture = await server.command(server.ada, "imagine", prompt="a man img")
    for label in ("Change", "Keep prompt", "Report"):
        clicked = await server.ada.click(picture, label=f"{_OPEN}{label}{_CLOSE}")
        forms.append(clicked.modal)
    forms.append((await server.ada.slash(server.channel, "identity add-photos", name="newton")).modal)
    texts = [text for one in forms for text in _labels(vars(one) if not isinstance(one, dict) else one)]
    assert len(texts) > len(forms)
    assert [text for text in texts if untranslated(text)] == ["newton"], "all but the example of a name"
