"""Compares two runs of ``photomaker evaluate`` picture by picture, for ablations and for numbers of ID photos."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from photomaker_core.errors import UserError
from photomaker_core.evaluation.measures import sign_test

_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much more often ``second`` finds the right person than ``first`` in the same ``pictures``.

    ``difference`` and its 95 % interval (``low``, ``high``) are shares in -1..1; ``p`` is the sign test's.
    """

    first: str
    second: str
    pictures: int
    difference: float
    low: float
    high: float
    p: float


def paired_differences(first: Path, second: Path) -> list[PairedDifference]:
    """Compare every method of one ``results.json`` with every one of another, or of the same, once.

    Raises :class:`UserError` for files that are none, and for runs of other people, prompts or seeds.
    """
    one, other = _results(first), _results(second)
    if first.resolve() == second.resolve():
        pairs = [(a, b) for index, a in enumerate(one) for b in one[index + 1 :]]
    else:
        pairs = [(a, b) for a in one for b in other]
    found = []
    for a, b in pairs:
        if a["asked"] != b["asked"]:
            raise UserError(
                f"{first} and {second} are of other people, prompts or seeds. Only the same ones can be compared "
                "picture by picture."
            )
        found.append(_difference(a["method"], b["method"], a["identified"], b["identified"]))
    if not found:
        raise UserError(f"{first} and {second} hold nothing to compare: it takes two methods.")
    return found


def difference_table(differences: Sequence[PairedDifference]) -> str:
    """A Markdown table in points of percent."""
    lines = ["| | pictures | right person first, difference in points | p |", "| --- | ---: | ---: | ---: |"]
    for one in differences:
        low, high = 100 * one.low, 100 * one.high
        lines.append(
            f"| {one.second} against {one.first} | {one.pictures} | "
            f"{100 * one.difference:+.1f} ({low:+.1f} to {high:+.1f}) | {one.p:.2g} |"
        )
    return "\n".join(lines)


def _difference(first: str, second: str, before: Sequence[bool], after: Sequence[bool]) -> PairedDifference:
    """The interval is the adjusted one of Bonett and Price (2012), which holds for few and for equal outcomes too."""
    count = len(before)
    gained = sum(b and not a for a, b in zip(before, after, strict=True))
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    up, down = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    half = _Z * math.sqrt((up + down - (up - down) ** 2) / (count + 2))
    low, high = max(-1.0, up - down - half), min(1.0, up - down + half)
    return PairedDifference(first, second, count, (gained - lost) / count, low, high, sign_test(before, after))


def _results(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.expanduser().read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read as the results of an evaluation.") from error
    entries = found if isinstance(found, list) else []
    whole = [one for one in entries if isinstance(one, dict) and one.get("identified") and one.get("asked")]
    if not whole or len(whole) < len(entries):
        raise UserError(
            f"{path} does not say for each picture who was asked for and found. Evaluate anew, with two people or more."
        )
    return whole
