"""Validation of stored settings when they are used: a member's and a server's defaults, and the requests of past jobs.

Styles, aspects, LoRAs and limits change between versions and configurations. What is not available any more gives way
to what is usual, with a note for the reply. Called where a drawing begins and where settings are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bot.domain.draw_request import (
    DEFAULT_QUALITY,
    DEFAULT_SCHEDULER,
    DEFAULT_STYLE,
    DEFAULT_STYLE_STRENGTH,
    MAX_GUIDANCE,
    MAX_SEED,
    MAX_STYLE_STRENGTH,
    DrawRequest,
    Limits,
    usual_steps,
)
from bot.domain.several_people import AUTOMATIC_LAYOUT, LAYOUT_NAMES
from bot.i18n.catalogue import gettext
from photomaker_core.errors import SettingsError
from photomaker_core.presets.aspect_ratios import DEFAULT_ASPECT, aspect_named
from photomaker_core.presets.styles import style_named
from storage import Preferences, Rules

MAX_UPSCALE_FACTOR: Final = 2.25


@dataclass(frozen=True, slots=True)
class Defaults:
    """The values taken where a command says nothing; ``notes`` say by option what gave way to them, in the member's
    language."""

    style: str
    aspect: str
    quality: str
    notes: Mapping[str, str]


def usable_defaults(preferences: Preferences, rules: Rules, limits: Limits) -> Defaults:
    """The member's preferences, then the server's defaults, then what is usual: the first of them that is available."""
    checks: dict[str, tuple[str, Callable[[str], object]]] = {
        "style": (DEFAULT_STYLE, style_named),
        "aspect": (DEFAULT_ASPECT, aspect_named),
        "quality": (DEFAULT_QUALITY, lambda name: usual_steps(name, limits)),
    }
    taken: dict[str, str] = {}
    notes: dict[str, str] = {}
    for option, (usual, check) in checks.items():
        stored = [name for name in (getattr(preferences, option), getattr(rules, option)) if name is not None]
        available = [name for name in stored if _is_available(name, check)]
        taken[option] = available[0] if available else usual
        if stored[:1] != available[:1]:
            notes[option] = _not_available(stored[0])
    return Defaults(**taken, notes=notes)


def usable_request(stored: DrawRequest, limits: Limits) -> DrawRequest:
    """A stored request with everything that is not available or not possible any more replaced by what is usual.

    Its notes are kept, and those on the replacements added.
    """
    notes = list(stored.notes)
    request = _with_known_names(stored, limits, notes)
    _, usual_guidance, _ = usual_steps(request.quality, limits)
    steps = max(1, min(request.steps, limits.max_steps))
    if steps < request.steps:
        notes.append(gettext("Steps are limited to {number} now.", number=steps))
    count = max(1, min(request.count, limits.max_pictures))
    if count < request.count:
        notes.append(gettext("Pictures at once are limited to {number} now.", number=count))
    guidance = _within(request.guidance, 0, MAX_GUIDANCE, usual_guidance)
    strength = _within(request.style_strength, 0, MAX_STYLE_STRENGTH, DEFAULT_STYLE_STRENGTH)
    if (guidance, strength) != (request.guidance, request.style_strength):
        notes.append(gettext("A stored number was not usable; I took the usual one."))
    return replace(
        request,
        steps=steps,
        count=count,
        guidance=guidance,
        style_strength=strength,
        seed=min(max(request.seed, 0), MAX_SEED),
        denoise_strength=_within(request.denoise_strength, 0, 1, 1.0) or 1.0,
        upscale_factor=_within(request.upscale_factor, 1, MAX_UPSCALE_FACTOR, 1.0),
        notes=tuple(notes),
    )


def _with_known_names(request: DrawRequest, limits: Limits, notes: list[str]) -> DrawRequest:
    if not _is_available(request.style, style_named):
        notes.append(_not_available(request.style))
        request = replace(request, style=DEFAULT_STYLE)
    if not _is_available(request.aspect, aspect_named):
        notes.append(_not_available(request.aspect))
        request = replace(request, aspect=DEFAULT_ASPECT)
    gone = [name for name, _ in request.loras if name not in limits.loras]
    if gone:
        notes += [_not_available(name) for name in gone]
        request = replace(request, loras=tuple(one for one in request.loras if one[0] not in gone))
    if request.layout is not None and request.layout not in LAYOUT_NAMES:
        notes.append(_not_available(request.layout))
        request = replace(request, layout=AUTOMATIC_LAYOUT)
    if not _is_available(request.quality, lambda name: usual_steps(name, limits)):
        notes.append(_not_available(request.quality))
        steps, guidance, scheduler = usual_steps(DEFAULT_QUALITY, limits)
        return replace(request, quality=DEFAULT_QUALITY, steps=steps, guidance=guidance, scheduler=scheduler)
    schedulers = {DEFAULT_SCHEDULER, usual_steps(request.quality, limits)[2]}
    return request if request.scheduler in schedulers else replace(request, scheduler=DEFAULT_SCHEDULER)


def _is_available(name: str, check: Callable[[str], object]) -> bool:
    try:
        check(name)
    except SettingsError:
        return False
    return True


def _not_available(name: str) -> str:
    return gettext("“{name}” is not available here any more; I took what is usual.", name=gettext(name))


def _within(value: float, low: float, high: float, usual: float) -> float:
    """The nearest number of the range; the usual one for what is no number."""
    return min(high, max(low, value)) if math.isfinite(value) else usual
