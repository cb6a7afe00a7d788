"""Finds settings that nobody reads because their names are misspelt. Called where the settings are read."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

_OURS: Final = ("PHOTOMAKER_", "DISCORD_", "PROVENANCE_")
_LEAST_LIKENESS: Final = 0.8


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A variable that no setting has the name of, where it was found, and the setting that it is most like."""

    name: str
    place: str
    nearest: str | None


def unknown_names(known: Collection[str], env_file: Path | None) -> list[UnknownName]:
    """Variables that look like ours and are not among ``known``, from the environment and from ``env_file``.

    With one of our prefixes a name is always ours; without, only where it is very much like a known one, since other
    programs have variables, too.
    """
    places = {"the environment": list(os.environ)}
    if env_file is not None and env_file.is_file():
        places[str(env_file)] = list(dotenv_values(env_file))
    found = []
    for place, names in places.items():
        for name in sorted({one.upper() for one in names} - set(known)):
            near = difflib.get_close_matches(name, known, 1, _LEAST_LIKENESS)
            if name.startswith(_OURS):
                near = near or difflib.get_close_matches(name, known, 1)
            if near or name.startswith(_OURS):
                found.append(UnknownName(name, place, near[0] if near else None))
    return found
