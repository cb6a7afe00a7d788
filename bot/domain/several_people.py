"""Several people in one picture, or one: whom a prompt names, and where each of them is to be.

Called where a request is checked and where it becomes work for the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from photomaker_core.conditioning.prompt_weights import weighted_texts
from photomaker_core.conditioning.trigger_placement import (
    DEFAULT_TRIGGER_WORD,
    PlacedTriggers,
    place_triggers,
    trigger_pattern,
)
from photomaker_core.errors import PromptError, SettingsError
from photomaker_core.sampling.regions import LAYOUTS, Regions, layout_named

AUTOMATIC_LAYOUT: Final = "automatic"
"""The picture's own first steps say where everybody is."""

LAYOUT_NAMES: Final = {AUTOMATIC_LAYOUT: None, **{name.replace("-", " "): name for name in LAYOUTS}}
"""What members choose from, and what the library calls it."""

MOST_PEOPLE: Final = 3


def people_in(prompt: str) -> int:
    """How many people a prompt names with the trigger word; raises :class:`PromptError` for more than can be drawn."""
    count = len(trigger_pattern(DEFAULT_TRIGGER_WORD).findall(prompt))
    if count > MOST_PEOPLE:
        raise PromptError(
            "The prompt has “{trigger}” {count} times; up to {most} people can be in a picture.",
            trigger=DEFAULT_TRIGGER_WORD,
            count=count,
            most=MOST_PEOPLE,
        )
    return count


def placed_prompt(prompt: str, names: Sequence[str], layout: str | None) -> PlacedTriggers:
    """Bring the trigger words of a prompt behind the words for its people, and check its weights.

    ``names`` are the people's; with a ``layout`` each stands in the picture, without one they are blended into one
    person. Raises :class:`PromptError`.
    """
    if layout is None and (count := people_in(prompt)) > 1:
        people = [*names[:MOST_PEOPLE], "…", "…"][: max(2, count)]
        listed = " ".join(f"id{number}: {name}" for number, name in enumerate(people, start=1))
        raise PromptError(
            "The prompt has “{trigger}” {count} times. For one person, write it once. For several people in one "
            "picture, use: {example}",
            count=count,
            trigger=DEFAULT_TRIGGER_WORD,
            example=f"/together {listed} prompt: {prompt}",
        )
    placed = place_triggers(prompt, DEFAULT_TRIGGER_WORD, 1 if layout is None else len(names))
    weighted_texts(placed.text)
    return placed


def checked_layout(name: str, people: int) -> str:
    """One of :data:`LAYOUT_NAMES`; raises :class:`SettingsError` for another, and for too few or too many people."""
    if name not in LAYOUT_NAMES:
        raise SettingsError("Unknown layout “{name}”. Known are: {known}.", name=name, known=", ".join(LAYOUT_NAMES))
    if not 2 <= people <= MOST_PEOPLE:
        raise SettingsError("A layout is for two or three people, not for {count}.", count=people)
    return name


def regions_of_layout(name: str, people: int) -> Regions | None:
    """Where a layout puts people; ``None`` for the automatic one. Raises :class:`SettingsError`."""
    known_as = LAYOUT_NAMES[checked_layout(name, people)]
    return None if known_as is None else layout_named(known_as, people)
