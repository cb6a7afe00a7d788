"""Translations: members are answered in the language of their Discord, where there is a catalogue for it.

The sentences in the code are English, and the keys of the catalogues (GNU gettext, ``bot/i18n/translations/*.po``). The
language is a context variable: set where an interaction arrives, carried by its task, and kept in a job's request for
later messages about the job.
"""

from __future__ import annotations

import contextlib
import gettext as gnu
import io
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Final, Protocol

import discord
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from discord import app_commands
from discord.app_commands import TranslationContextLocation

ENGLISH: Final = "en"
CATALOGUES: Final = Path(__file__).with_name("translations")
LANGUAGES: Final = {
    discord.Locale.german: "de",
    discord.Locale.spain_spanish: "es",
    discord.Locale.latin_american_spanish: "es",
    discord.Locale.chinese: "zh_CN",
}
_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


class Spoken(Protocol):
    """An error with a sentence for the member: a format string, and the values for it."""

    sentence: str
    values: dict[str, object]


def gettext(sentence: str, /, **values: object) -> str:
    """Translate ``sentence`` into the member's language and fill in ``values``."""
    said = _catalogue(_language.get()).gettext(sentence) if sentence else ""
    return said.format(**values) if values else said


def ngettext(one: str, many: str, number: int, /, **values: object) -> str:
    """Translate a sentence about ``{number}`` things, in the plural form that the number asks for."""
    return _catalogue(_language.get()).ngettext(one, many, number).format(number=number, **values)


def current() -> str:
    """The language of this task's sentences."""
    return _language.get()


def answer_in_language_of(interaction: discord.Interaction) -> None:
    """Set the language of this task's sentences to that of the member's Discord."""
    _language.set(language_of(interaction.locale))


def language_of(locale: discord.Locale | None) -> str:
    """The language for a locale: English where there is no catalogue for it."""
    return ENGLISH if locale is None else LANGUAGES.get(locale, ENGLISH)


@contextlib.contextmanager
def speaking(language: str) -> Iterator[None]:
    """Set the language of all sentences within the block."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


class CommandTranslator(app_commands.Translator):
    """Gives Discord the descriptions, choices and menu entries in every language that has a catalogue.

    Names of commands and options stay English: examples and documentation quote them.
    """

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,
    ) -> str | None:
        is_menu_entry = isinstance(context.data, app_commands.ContextMenu)
        if context.location in _NAMES and not is_menu_entry:
            return None
        language = LANGUAGES.get(locale)
        if language is None:
            return None
        said = _catalogue(language).gettext(string.message)
        return said if said != string.message else None


_NAMES: Final = (
    TranslationContextLocation.command_name,
    TranslationContextLocation.group_name,
    TranslationContextLocation.parameter_name,
)


@cache
def _catalogue(language: str) -> gnu.NullTranslations:
    path = CATALOGUES / f"{language}.po"
    if not path.exists():
        return gnu.NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gnu.GNUTranslations(compiled)
