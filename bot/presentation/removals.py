"""A note beside the word about a removal, for while something keeps the database from being rid of it."""

from __future__ import annotations

from bot.i18n.catalogue import gettext


def with_traces(content: str, is_final: bool) -> str:
    """``content``, and where the removal is not final, that its last traces leave later."""
    if is_final:
        return content
    told = gettext(
        "Nobody can see it any more. Another program is reading the database at the moment: "
        "the last traces leave its files as soon as that has ended, without you doing anything."
    )
    return f"{content}\n{told}"
