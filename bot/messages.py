"""What the bot says about a job: waiting, drawing, the result, its settings."""

from __future__ import annotations

import discord

from bot.names import shown
from bot.requests import DrawRequest

_BAR_CELLS = 12


def waiting(jobs_before: int) -> str:
    if jobs_before == 0:
        return "⏳ Your picture is next."
    return f"⏳ Waiting: {jobs_before} {'job' if jobs_before == 1 else 'jobs'} before yours."


def drawing(request: DrawRequest, step: int, steps: int, elapsed_s: float) -> str:
    filled = _BAR_CELLS * step // steps
    bar = "▰" * filled + "▱" * (_BAR_CELLS - filled)
    rest = f" · about {max(1, round(elapsed_s / step * (steps - step)))} s left" if step else ""
    return f"🎨 Drawing {people(request)}\n{bar} {100 * step // steps} %{rest}"


def result(request: DrawRequest, dropped_text: str) -> str:
    lines = [f"“{discord.utils.escape_markdown(request.prompt)}”", f"{people(request)} · {settings(request)}"]
    if request.trigger_inserted:
        lines.append(
            "-# I put the trigger word `img` after the word for the person; next time you can write it yourself."
        )
    if dropped_text:
        lines.append(
            f"-# The prompt is too long; the model did not see: “{discord.utils.escape_markdown(dropped_text)}”"
        )
    return "\n".join(lines)


def settings(request: DrawRequest) -> str:
    last = request.seed + request.count - 1
    seeds = f"seed `{request.seed}`" if request.count == 1 else f"seeds `{request.seed}` to `{last}`"
    parts = [seeds, f"{request.steps} steps", f"guidance {request.guidance:g}", request.aspect]
    if request.style != "None":
        parts.append(request.style)
    if request.negative:
        parts.append(f"without {discord.utils.escape_markdown(request.negative)}")
    return " · ".join(parts)


def people(request: DrawRequest) -> str:
    if len(request.identities) == 1:
        return shown(request.identities[0].name)
    total = sum(share.weight for share in request.identities)
    return " + ".join(f"{shown(share.name)} {share.weight / total:.0%}" for share in request.identities)
