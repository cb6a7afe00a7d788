"""The reference of the commands is that of today's code."""

from __future__ import annotations

from pathlib import Path

from bot.tools.command_reference import commands_page

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


async def test_the_page_of_the_commands_is_made_from_this_code() -> None:
    assert PAGE.read_text().strip() == (await commands_page()).strip(), "make docs"
