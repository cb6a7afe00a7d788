"""The commands as a Markdown page, read from the code. Called by ``photomaker-bot commands`` and ``make docs``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from discord import app_commands

from bot.app import PhotoMakerBot
from bot.config import load_settings

_HEAD = """\
# Commands

Made from the code by `photomaker-bot commands`. Options in brackets can be left out.
"""


async def commands_page() -> str:
    """Every slash command and context menu with its options, in the order of their names."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(None, database_url=f"sqlite+aiosqlite:///{Path(folder) / 'bot.db'}")
        bot = PhotoMakerBot(settings)
        await bot.open()
        try:
            return "\n".join([_HEAD, *(_section(one) for one in _commands(bot.tree.get_commands()))])
        finally:
            await bot.close()


_Leaf = app_commands.Command[Any, ..., Any] | app_commands.ContextMenu


def _commands(found: list[Any]) -> Iterator[_Leaf]:
    for one in sorted(found, key=lambda command: (isinstance(command, app_commands.ContextMenu), command.name)):
        if isinstance(one, app_commands.Group):
            yield from _commands(list(one.commands))
        else:
            yield one


def _section(command: _Leaf) -> str:
    if isinstance(command, app_commands.ContextMenu):
        return f"## {command.name}\n\nIn the menu of a message: right click > Apps.\n"
    lines = [f"## /{command.qualified_name}", "", f"{command.description}.", ""]
    if command.parameters:
        lines += ["| option | what it is |", "| --- | --- |"]
        lines += [_option(one) for one in command.parameters]
        lines.append("")
    return "\n".join(lines)


def _option(parameter: app_commands.Parameter) -> str:
    name = f"`{parameter.display_name}`" if parameter.required else f"[`{parameter.display_name}`]"
    text = str(parameter.description)
    if parameter.choices:
        text += f". One of: {', '.join(choice.name for choice in parameter.choices)}"
    return f"| {name} | {text} |"
