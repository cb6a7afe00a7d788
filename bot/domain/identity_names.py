"""The rules for identity names, and how a name is shown in a message."""

from __future__ import annotations

import unicodedata
from typing import Final

import discord

from photomaker_core.errors import UserError

MAX_NAME_CHARACTERS: Final = 32
_JOINERS: Final = {"\u200c", "\u200d"}
_FIRST_STRONG_ISOLATE: Final = "\u2068"
_POP_ISOLATE: Final = "\u2069"


class IdentityNameError(UserError):
    """A name that cannot be used for an identity."""


def checked_name(name: str) -> str:
    """A usable identity name in any script, emoji included; raises :class:`IdentityNameError`."""
    cleaned = " ".join(unicodedata.normalize("NFC", name).split())
    if not cleaned:
        raise IdentityNameError("An identity needs a name. Try: /identity add name: newton")
    if len(cleaned) > MAX_NAME_CHARACTERS:
        raise IdentityNameError(
            "This name is {length} characters long; at most {most} are possible.",
            length=len(cleaned),
            most=MAX_NAME_CHARACTERS,
        )
    if any(unicodedata.category(one) in ("Cc", "Cf", "Co", "Cs") and one not in _JOINERS for one in cleaned):
        raise IdentityNameError("This name holds invisible control characters. Please type it anew without them.")
    return cleaned


def shown(name: str) -> str:
    """A name for a message: markdown is escaped, and right-to-left names do not turn their neighbours."""
    return f"{_FIRST_STRONG_ISOLATE}**{discord.utils.escape_markdown(name)}**{_POP_ISOLATE}"
