"""Keeps ``bot/i18n/translations/*.po`` in step with the code: ``make texts`` runs ``python -m scripts.translations``.

The sentences are read from the code (the arguments of ``gettext``, ``ngettext`` and typed errors, the labels of
buttons and menus) and from the command tree (descriptions and choices). New ones are added to each catalogue without a
translation, which a test then misses; dropped ones are removed.
"""

from __future__ import annotations

import ast
import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import discord
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from discord import app_commands

from bot.app import PhotoMakerBot
from bot.config import load_settings
from bot.domain.consent import SENTENCES as CONSENT_SENTENCES
from bot.domain.consent import Declaration
from bot.domain.draw_request import QUALITIES
from bot.domain.explicit_pictures import TREATMENTS
from bot.i18n.catalogue import CATALOGUES, LANGUAGES
from photomaker_core.images.photo_quality import Note
from photomaker_core.presets.aspect_ratios import ASPECTS
from storage.errors import SENTENCES
from storage.jobs import JOB_STATES

Sentence = str | tuple[str, str]
"""A sentence, or its forms for one thing and for several."""

_PACKAGES = ("bot", "storage", "photomaker_core")
_ROOT = Path(__file__).parent.parent
_MEMBERS_ERRORS = {
    "DrawingError",
    "DuplicatePhotoError",
    "IdentityNameError",
    "LimitReachedError",
    "NameTakenError",
    "NotAllowedError",
    "NotFoundError",
    "NotShownError",
    "OptedOutError",
    "PhotoError",
    "PromptError",
    "ReportError",
    "RequestFormatError",
    "SettingsError",
    "StorageError",
    "WorkerError",
}
_ONLY_OPERATORS_SEE = ("dataset", "training", "evaluation", "benchmark", "cli", "cli.py", "demo.py", "sdxl_config.py")
_LABELS = {"label", "placeholder"}


def sentences() -> list[Sentence]:
    """Every sentence that a member can be told, in a stable order."""
    found: dict[Sentence, None] = {}
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            if not any(part in _ONLY_OPERATORS_SEE for part in path.parts):
                found |= dict.fromkeys(_in_module(ast.parse(path.read_text())))
    found |= dict.fromkeys(asyncio.run(_in_command_tree()))
    found |= dict.fromkeys(
        (
            *SENTENCES.values(),
            *(note.value for note in Note),
            *get_args(Declaration),
            *CONSENT_SENTENCES.values(),
            *QUALITIES,
            *ASPECTS,
            *TREATMENTS,
            *JOB_STATES,
        )
    )
    return list(found)


def catalogue(language: str) -> Catalog:
    """The catalogue of a language; a new one where there is none."""
    path = CATALOGUES / f"{language}.po"
    if not path.exists():
        return Catalog(locale=language, project="photomaker-bot", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str, wanted: list[Sentence]) -> int:
    """Bring a catalogue up to date; returns how many sentences it lacks a translation of."""
    old = catalogue(language)
    new = Catalog(
        locale=language,
        project=old.project,
        version="1",
        msgid_bugs_address="see CONTRIBUTING.md",
        last_translator="photomaker-bot contributors",
        language_team="photomaker-bot contributors",
        creation_date=old.creation_date,
        revision_date=old.creation_date,
        header_comment="",
        fuzzy=False,
    )
    missing = 0
    for sentence in wanted:
        known = old.get(sentence)
        new.add(sentence, known.string if known else "")
        missing += not all(known.string if known and isinstance(sentence, tuple) else [known and known.string])
    with (CATALOGUES / f"{language}.po").open("wb") as file:
        write_po(file, new, width=None, no_location=True)
    return missing


def _in_module(tree: ast.Module) -> Iterator[Sentence]:
    constants: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                constants.setdefault(name, []).extend(_strings(value, {}))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name == "ngettext" and isinstance(node.func, ast.Name):
            yield tuple(one for argument in node.args[:2] for one in _strings(argument, constants))  # type: ignore[misc]
        elif node.args and (name in {"gettext", "UserError", "_check"} or name in _MEMBERS_ERRORS):
            yield from _strings(node.args[0], constants)
        elif name in {"button", "select", "Rework"}:
            for keyword in node.keywords:
                if keyword.arg in _LABELS:
                    yield from _strings(keyword.value, constants)
            if name == "Rework":
                yield from _strings(node.args[0], constants)


def _strings(node: ast.expr, constants: dict[str, list[str]]) -> list[str]:
    """The strings that an expression can stand for."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return [*_strings(one, constants), *_strings(other, constants)]
        case ast.Name(id=name):
            return constants.get(name, [])
        case _:
            return []


async def _in_command_tree() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        bot = PhotoMakerBot(load_settings(None, database_url=f"sqlite+aiosqlite:///{Path(folder) / 'bot.db'}"))
        await bot.open()
        try:
            entries = [menu.name for menu in bot.tree.walk_commands(type=discord.AppCommandType.message)]
            return entries + [one for command in bot.tree.walk_commands() for one in _in_command(command)]
        finally:
            await bot.close()


def _in_command(command: app_commands.Command[Any, ..., Any] | app_commands.Group) -> Iterator[str]:
    yield command.description
    if isinstance(command, app_commands.Command):
        for parameter in command.parameters:
            yield str(parameter.description)
            yield from (choice.name for choice in parameter.choices if choice._locale_name is not None)


if __name__ == "__main__":
    for one in sorted(set(LANGUAGES.values())):
        print(f"{one}: {update(one, sentences())} sentences to translate")
