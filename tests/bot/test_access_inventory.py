"""Nothing that members can press, fill in or open is missing in docs/access.md."""

from __future__ import annotations

from discord import ui

from bot.views.job_controls import _DoneView
from bot.views.persistent import PersistentView
from tests.support.access_inventory import (
    BASES,
    CLASSES,
    CONTEXT_MENUS,
    Row,
    context_menus,
    interface_classes,
    labels_of,
    missing_tests,
)
from tests.support.access_page import PAGE, compare
from tests.support.server import Server


def test_every_view_form_and_menu_has_a_row() -> None:
    found = interface_classes()
    assert set(found) - BASES == set(CLASSES), "a view, form or button of the bot has no row, or a row is of none"
    assert missing_tests() == []
    table = {f"`{name}`{_shown(found[name])}": _cells(row) for name, row in CLASSES.items()}
    table |= {f"the menu entry *{name}*": _cells(row) for name, row in CONTEXT_MENUS.items()}
    compare("classes", ("What can be used", "Where", "By whom", "Tests"), table)


def test_every_button_and_menu_under_a_picture_is_tried() -> None:
    tried = PAGE.read_text().partition("<!-- controls -->")[2].partition("<!-- end of controls -->")[0]
    assert [one for one in labels_of(_DoneView) if f"**{one}**" not in tried and f"*{one}*" not in tried] == []


async def test_the_running_bot_listens_to_nothing_else(server: Server) -> None:
    assert context_menus(server.bot.tree) == set(CONTEXT_MENUS)
    listening = {type(one).__name__ for one in server.bot.persistent_views}
    dynamic = {one.__name__ for one in server.bot._connection._view_store._dynamic_items.values()}
    pressed = {
        name
        for name, one in interface_classes().items()
        if issubclass(one, ui.DynamicItem) or (issubclass(one, PersistentView) and name not in BASES)
    }
    assert listening | dynamic == pressed - {"_FirstSteps"}


def _shown(found: type[object]) -> str:
    labels = labels_of(found) if issubclass(found, ui.View) else []
    return f": {', '.join(labels)}" if labels else ""


def _cells(row: Row) -> list[str]:
    return [row.where, row.whose, ", ".join(f"`{one}`" for one in row.tests)]
