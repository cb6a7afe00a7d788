"""What the bot says: lists, and a job's waiting, drawing, result and settings, within Discord's limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import discord

from bot.names import shown
from bot.requests import DrawRequest

MESSAGE_LIMIT: Final = 2000
_BAR_CELLS: Final = 12
_SHOWN_PROMPT: Final = 700
_SHOWN_REST: Final = 250


def listing(lines: Sequence[str]) -> str:
    """As many lines as a message holds, and how many more there are."""
    whole = "\n".join(lines)
    if len(whole) <= MESSAGE_LIMIT:
        return whole
    kept: list[str] = []
    room = MESSAGE_LIMIT - len(f"… and {len(lines)} more")
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, f"… and {len(lines) - len(kept)} more"])


def counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def waiting(jobs_before: int) -> str:
    if jobs_before == 0:
        return "⏳ Your picture is next."
    return f"⏳ Waiting: {counted(jobs_before, 'job', 'jobs')} before yours."


def drawing(request: DrawRequest, step: int, steps: int, elapsed_s: float) -> str:
    filled = _BAR_CELLS * step // steps
    bar = "▰" * filled + "▱" * (_BAR_CELLS - filled)
    rest = f" · about {max(1, round(elapsed_s / step * (steps - step)))} s left" if step else ""
    return f"🎨 Drawing {people(request)}\n{bar} {100 * step // steps} %{rest}"


def result(request: DrawRequest, dropped_text: str) -> str:
    lines = [f"“{_quoted(request.prompt, _SHOWN_PROMPT)}”", f"{people(request)} · {settings(request)}"]
    if request.trigger_inserted:
        lines.append(
            "-# I put the trigger word `img` after the word for the person; next time you can write it yourself."
        )
    if dropped_text:
        lines.append(f"-# The prompt is too long; the model did not see: “{_quoted(dropped_text, _SHOWN_REST)}”")
    return "\n".join(lines)


def settings(request: DrawRequest) -> str:
    last = request.seed + request.count - 1
    seeds = f"seed `{request.seed}`" if request.count == 1 else f"seeds `{request.seed}` to `{last}`"
    parts = [seeds, f"{request.steps} steps", f"guidance {request.guidance:g}", request.aspect]
    if request.style != "None":
        parts.append(request.style)
    if request.negative:
        parts.append(f"without {_quoted(request.negative, _SHOWN_REST)}")
    return " · ".join(parts)


def people(request: DrawRequest) -> str:
    if len(request.identities) == 1:
        return shown(request.identities[0].name)
    total = sum(share.weight for share in request.identities)
    return " + ".join(f"{shown(share.name)} {share.weight / total:.0%}" for share in request.identities)


def _quoted(text: str, limit: int) -> str:
    """A member's words with markdown and mentions made harmless, in at most ``limit`` characters."""
    shown_text = _escaped(text)
    while len(shown_text) > limit:
        text = text[: len(text) - max(1, (len(shown_text) - limit) // 2)]
        shown_text = f"{_escaped(text)}…"
    return shown_text


def _escaped(text: str) -> str:
    return discord.utils.escape_mentions(discord.utils.escape_markdown(text))
