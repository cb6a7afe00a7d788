"""The LoRAs that a member names in one option, such as ``papercut:0.7 ink:0.4``."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from typing import Final

from bot.lora_names import BETWEEN_NAMES, plain_name
from photomaker_core.errors import SettingsError

LoraChoice = tuple[tuple[str, float], ...]
"""Names of LoRAs with their weights, by name."""

USUAL_WEIGHT: Final = 0.5
MAX_LORAS: Final = 4
LARGEST_WEIGHT: Final = 2.0
LONGEST_CHOICE: Final = 100
"""Discord takes suggestions of so many characters."""
_DECIMAL_COMMA: Final = re.compile(r"(:\s*[+-]?\d+),(\d+)(?=[\s,+]|$)")
_WEIGHT: Final = re.compile(r"\s*:\s*([^\s,+]*)")


def chosen_loras(typed: str, known: Sequence[str]) -> LoraChoice:
    """Read names and weights; names may hold any characters, in any case. A weight left out is the usual one.

    Raises :class:`SettingsError` for a name that is not ``known``, for a weight that is no number from -2 to 2, for a
    LoRA named twice and for more than four.
    """
    chosen: dict[str, float] = {}
    rest = plain_name(_DECIMAL_COMMA.sub(r"\1.\2", typed))
    while rest:
        name, rest = _name_at(rest, known)
        weight = USUAL_WEIGHT
        if found := _WEIGHT.match(rest):
            weight, rest = _weight(name, found[1]), rest[found.end() :]
        if name in chosen:
            raise SettingsError("The LoRA “{name}” is named twice.", name=name)
        chosen[name] = weight
        rest = rest.lstrip()
    if len(chosen) > MAX_LORAS:
        raise SettingsError(
            "At most {most} LoRAs can be used together; {number} are named.", most=MAX_LORAS, number=len(chosen)
        )
    return tuple(sorted(chosen.items()))


def lora_text(loras: LoraChoice) -> str:
    """A choice as a member would type it."""
    return " ".join(name if weight == USUAL_WEIGHT else f"{name}:{_number(weight)}" for name, weight in loras)


def suggested_loras(typed: str, known: Sequence[str]) -> list[str]:
    """What the option may go on to be: the last name completed, after those that stand already; nothing for a text that
    is longer than any choice can be."""
    if len(typed) > LONGEST_CHOICE:
        return []
    before, last = "", typed
    for place in reversed([found.end() for found in BETWEEN_NAMES.finditer(typed)]):
        try:
            used = chosen_loras(typed[:place], known)
        except SettingsError:
            continue
        if used:
            before, last = f"{lora_text(used)} ", typed[place:]
            break
    taken = {name for name, _ in chosen_loras(before, known)}
    return [f"{before}{name}" for name in known if last.casefold() in name.casefold() and name not in taken]


def _name_at(text: str, known: Sequence[str]) -> tuple[str, str]:
    """The longest known name that ``text`` begins with, best in the same case, and what follows it."""
    spelt = [(plain_name(name), name) for name in known]
    for plain, name in sorted(spelt, key=lambda one: (-len(one[0]), not text.startswith(one[0]))):
        start, rest = text[: len(plain)], text[len(plain) :]
        if start.casefold() == plain.casefold() and (not rest or rest[0] == ":" or rest[0].isspace()):
            return name, rest
    wrong = re.split(r"[:\s,+]", text, maxsplit=1)[0] or text
    if not known:
        raise SettingsError("Unknown LoRA “{name}”. None is loaded here.", name=wrong)
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(wrong.casefold(), by_folded, n=1)
    if near:
        raise SettingsError("Unknown LoRA “{name}”. Did you mean “{near}”?", name=wrong, near=by_folded[near[0]])
    raise SettingsError("Unknown LoRA “{name}”. Known are: {known}.", name=wrong, known=", ".join(known))


def _number(weight: float) -> str:
    short = f"{weight:g}"
    return short if float(short) == weight else repr(weight)


def _weight(name: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not -LARGEST_WEIGHT <= weight <= LARGEST_WEIGHT:
        raise SettingsError(
            "The weight of the LoRA “{name}” must be a number from {low:g} to {high:g}; “{text}” is not.",
            name=name,
            low=-LARGEST_WEIGHT,
            high=LARGEST_WEIGHT,
            text=text,
        )
    return weight
