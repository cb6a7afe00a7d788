"""Everything in the bot that members can press, choose, fill in or open, by class, and which test tries it.

A class, a button or a context menu that is new has no row here, and ``tests/bot/test_access_inventory.py`` fails.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import discord
from discord import app_commands, ui

import bot

_KINDS: Final = (ui.View, ui.LayoutView, ui.Modal, ui.DynamicItem, ui.Item)
_TESTS: Final = Path(__file__).parents[1] / "bot"

BASES: Final = frozenset({"PersistentView", "PersistentForm", "_JobView", "_PhotoForm"})
"""Classes that others build on: nobody is shown one."""


@dataclass(frozen=True, slots=True)
class Row:
    """Where it is shown, who may use it, and the tests that try others: ``module::function``."""

    where: str
    whose: str
    tests: tuple[str, ...]


_CONTROLS: Final = "test_access::test_the_controls_of_a_picture"
_PAGES: Final = "test_access::test_what_only_its_reader_sees_answers_nobody_else"
_LATER: Final = "test_access_lost_rights::test_forms_that_were_opened_before"
_IN_DM: Final = "test_access_lost_rights::test_the_controls_of_a_picture_in_a_dm"

CLASSES: Final[dict[str, Row]] = {
    "_RunningView": Row(
        "a picture that is drawn",
        "its member and moderators",
        ("test_access_lost_rights::test_cancel_is_its_members_and_the_moderators_of_now",),
    ),
    "_DoneView": Row("a picture", "its member; see above", (_CONTROLS, _IN_DM)),
    "ChangeForm": Row("Change", "the picture's member", (_CONTROLS, _IN_DM, _LATER)),
    "KeepForm": Row("Keep prompt", "who sees the picture; it keeps their own words", (_CONTROLS, _LATER)),
    "ReportForm": Row("Report", "who sees the picture", (_CONTROLS, _LATER)),
    "AddForm": Row(
        "`/identity add`, `/help`",
        "anybody, for a person of their own",
        ("test_access_lost_rights::test_the_buttons_of_help_are_everybodys_own",),
    ),
    "SaveForm": Row("*Save as identity*", "who sees the message, unless its author opted out", (_LATER,)),
    "PhotosForm": Row("`/identity add-photos`", "the person's owner", (_LATER,)),
    "LendForm": Row("a request to be drawn", "who is asked", (_LATER, _PAGES)),
    "RequestButton": Row("a request to be drawn", "who is asked", (_PAGES,)),
    "ActivityPage": Row("`/identity activity`", "the person's owner", (_PAGES,)),
    "ActivityPageButton": Row("`/identity activity`", "the person's owner", (_PAGES,)),
    "ActivityDeleteButton": Row("`/identity activity`", "the person's owner", (_PAGES,)),
    "HistoryPage": Row("`/history`", "everybody sees their own", (_PAGES,)),
    "HistoryPageButton": Row("`/history`", "everybody sees their own", (_PAGES,)),
    "IdentityPageButton": Row(
        "`/identity list`",
        "everybody sees their own",
        (_PAGES, "test_access_lost_rights::test_the_buttons_of_help_are_everybodys_own"),
    ),
    "ConfirmView": Row("`/privacy delete`", "everybody, for their own", (_PAGES,)),
    "HelpView": Row(
        "`/help`",
        "everybody, with their own people",
        ("test_access_lost_rights::test_the_buttons_of_help_are_everybodys_own",),
    ),
    "_StylesPage": Row("`/style`", "nothing to press", ("test_access::test_commands",)),
    "_FirstSteps": Row(
        "the demo alone",
        "everybody, for their own",
        ("test_access_lost_rights::test_the_demos_buttons_are_everybodys_own",),
    ),
}
"""Views, forms, items and menus by class, as far as they are of the bot."""

CONTEXT_MENUS: Final[dict[str, Row]] = {
    "Save as identity": Row(
        "a message",
        "who sees the message, unless its author opted out",
        ("test_access_lost_rights::test_save_as_identity_is_for_who_sees_the_message",),
    ),
}


def interface_classes() -> dict[str, type[Any]]:
    """Every class of the bot that discord.py shows to members, by name, in all of the bot's modules."""
    for module in pkgutil.walk_packages(bot.__path__, "bot."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {one for kind in _KINDS for one in _descendants(kind) if one.__module__.startswith("bot.")}
    names = {one.__name__: one for one in found}
    assert len(names) == len(found), "two classes of one name: the table tells them apart by it"
    return names


def labels_of(view: type[ui.View]) -> list[str]:
    """What is written on a view's buttons and menus, in the order of the code."""
    controls = [getattr(one, "__discord_ui_model_kwargs__", {}) for one in vars(view).values()]
    return [str(one.get("label") or one.get("placeholder")) for one in controls if one]


def context_menus(tree: app_commands.CommandTree[Any]) -> set[str]:
    """The names of a bot's entries in the menus of messages and members."""
    kinds = (discord.AppCommandType.message, discord.AppCommandType.user)
    return {one.name for kind in kinds for one in tree.get_commands(type=kind)}


def missing_tests() -> list[str]:
    """Tests that a row names and that there are not."""
    named = {test for one in (*CLASSES.values(), *CONTEXT_MENUS.values()) for test in one.tests}
    return sorted(one for one in named if not _is_there(*one.split("::")))


def _is_there(module: str, function: str) -> bool:
    return f"def {function}(" in (_TESTS / f"{module}.py").read_text()


def _descendants(kind: type[Any]) -> Iterator[type[Any]]:
    for one in kind.__subclasses__():
        yield one
        yield from _descendants(one)
