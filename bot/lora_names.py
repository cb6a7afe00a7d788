"""Names of LoRAs as they are read in what members type, and which of them an operator cannot give."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

BETWEEN_NAMES: Final = re.compile(r"[\s,+]+")
"""What may stand between two names, and therefore reads the same inside one."""


def plain_name(text: str) -> str:
    """A text with single spaces for whatever may stand between two names."""
    return BETWEEN_NAMES.sub(" ", text).strip()


def unusable_name(names: Iterable[str]) -> str | None:
    """A name that nobody could choose: it is empty, or another of ``names`` is read as the same. None where none is."""
    seen: set[str] = set()
    for name in names:
        plain = plain_name(name)
        if not plain or plain in seen:
            return name
        seen.add(plain)
    return None
