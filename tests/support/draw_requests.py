"""Requests to draw, and limits for them, as tests of the bot's domain need them."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.draw_request import DrawOptions, DrawRequest, Limits, Turbo, WeightedIdentity, checked_request

LIMITS = Limits(max_steps=50, max_pictures=4, default_steps=30, default_guidance=5.0, loras=("papercut",))
WITH_TURBO = replace(LIMITS, turbo=Turbo(8, "lcm"))


def asked(limits: Limits = LIMITS, *, prompt: str = "a man img", **options: object) -> DrawRequest:
    """A checked request for one person."""
    typed = DrawOptions(prompt, **options)  # type: ignore[arg-type]
    return checked_request(typed, (WeightedIdentity(1, "newton"),), limits, seed=4)
