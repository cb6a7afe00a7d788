"""What a member declares about the person in their photos: the choices, and the sentences that they stand for.

A sentence is recorded as it was read. Whoever changes one counts :data:`CONSENT_VERSION` up.
"""

from __future__ import annotations

from typing import Final, Literal

from discord import app_commands

from bot.i18n.catalogue import gettext
from storage import Wording

Declaration = Literal["I am this person", "I have their permission", "Fictional person or work of art"]
MINE: Final[Declaration] = "I am this person"
FICTION: Final[Declaration] = "Fictional person or work of art"

CONSENT_VERSION: Final = 1
SENTENCES: Final[dict[str, str]] = {
    MINE: "I am this person, and I agree that pictures of me are made from these photos",
    "I have their permission": "I have their permission: they agreed that pictures are made from these photos",
    FICTION: "Fictional person or work of art: these photos show no living person",
}


def consent_choices() -> list[app_commands.Choice[str]]:
    """The sentences as choices of a command; a translator gives Discord those of other languages."""
    return [app_commands.Choice(name=sentence, value=declaration) for declaration, sentence in SENTENCES.items()]


def sentence_of_consent(declaration: str) -> str:
    """A declaration's sentence in the member's language; an older declaration stands for itself."""
    return gettext(SENTENCES.get(declaration, declaration))


def wording_of(declaration: str) -> Wording | None:
    """What to record of a declaration that is made now, in the member's language; ``None`` for an unknown one."""
    return Wording(sentence_of_consent(declaration), CONSENT_VERSION) if declaration in SENTENCES else None
