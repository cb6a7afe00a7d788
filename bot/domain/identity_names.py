"""The rules for identity names, and how a name is shown in a message."""

from __future__ import annotations

from typing import Final

from bot.domain.member_text import bold, cleaned, has_hidden_characters
from photomaker_core.errors import UserError

MAX_NAME_CHARACTERS: Final = 32


class IdentityNameError(UserError):
    """A name that cannot be used for an identity."""


def checked_name(name: str) -> str:
    """A usable identity name in any script, emoji included; raises :class:`IdentityNameError`."""
    if has_hidden_characters(name):
        raise IdentityNameError("This name holds invisible control characters. Please type it anew without them.")
    checked = cleaned(name)
    if not checked:
        raise IdentityNameError("An identity needs a name. Try: /identity add name: newton")
    if len(checked) > MAX_NAME_CHARACTERS:
        raise IdentityNameError(
            "This name is {length} characters long; at most {most} are possible.",
            length=len(checked),
            most=MAX_NAME_CHARACTERS,
        )
    return checked


def shown(name: str) -> str:
    """A name in bold for a message; right-to-left names do not turn their neighbours."""
    return bold(name)
