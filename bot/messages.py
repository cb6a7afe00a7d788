"""What the bot says: lists, and a job's waiting, drawing, result and settings, within Discord's limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import discord

from bot.names import shown
from bot.requests import DEFAULT_QUALITY, DEFAULT_STYLE_STRENGTH, DrawRequest
from storage import JobRecord

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


def waiting(jobs_before: int, expected_s: float | None) -> str:
    rest = "" if expected_s is None else f" Ready in about {duration(expected_s)}."
    if jobs_before == 0:
        return f"⏳ Your picture is next.{rest}"
    return f"⏳ Waiting: {counted(jobs_before, 'job', 'jobs')} before yours.{rest}"


def whole_queue(jobs: int, expected_s: float | None) -> str:
    if not jobs:
        return "Nothing is waiting."
    rest = "" if expected_s is None else f", about {duration(expected_s)} for all of them"
    return f"{counted(jobs, 'job is', 'jobs are')} open{rest}."


def own_job(request: DrawRequest, state: str) -> str:
    return f"- yours: {people(request)}, “{quoted(request.prompt, _SHOWN_REST)}”: {state}"


def past_job(record: JobRecord, request: DrawRequest, limit: int) -> str:
    """An entry of the history: what was asked, when, and a link to the message."""
    when = discord.utils.format_dt(record.created_at, "R")
    link = f"https://discord.com/channels/{request.guild_id or '@me'}/{record.channel_id}/{record.message_id}"
    return f"“{quoted(request.prompt, limit)}”\n{people(request)} · seed `{request.seed}` · {when} · [message]({link})"


def duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 100 else f"{round(whole / 60)} min"


def drawing(request: DrawRequest, step: int, steps: int, elapsed_s: float) -> str:
    filled = _BAR_CELLS * step // steps
    bar = "▰" * filled + "▱" * (_BAR_CELLS - filled)
    rest = f" · about {duration(elapsed_s / step * (steps - step))} left" if step else ""
    return f"🎨 Drawing {people(request)}\n{bar} {100 * step // steps} %{rest}"


def result(request: DrawRequest, dropped_text: str) -> str:
    lines = [f"“{quoted(request.prompt, _SHOWN_PROMPT)}”", f"{people(request)} · {settings(request)}"]
    if request.trigger_inserted:
        lines.append(
            "-# I put the trigger word `img` after the word for the person; next time you can write it yourself."
        )
    if dropped_text:
        lines.append(f"-# The prompt is too long; the model did not see: “{quoted(dropped_text, _SHOWN_REST)}”")
    return "\n".join(lines)


def settings(request: DrawRequest) -> str:
    last = request.seed + request.count - 1
    seeds = f"seed `{request.seed}`" if request.count == 1 else f"seeds `{request.seed}` to `{last}`"
    parts = [seeds, f"{request.steps} steps", f"guidance {request.guidance:g}", request.aspect]
    if request.style != "None":
        parts.append(request.style)
    if request.lora:
        parts.append(f"LoRA {_escaped(request.lora)}")
    if request.quality != DEFAULT_QUALITY:
        parts.append(f"{request.quality} quality")
    if request.style_strength != DEFAULT_STYLE_STRENGTH and request.change == 1:
        parts.append(f"style strength {request.style_strength:g} %")
    if request.change < 1:
        larger = f", {request.enlarge:g} times as large" if request.enlarge != 1 else ""
        parts.append(f"{request.change:.0%} drawn anew{larger}")
    if request.negative:
        parts.append(f"without {quoted(request.negative, _SHOWN_REST)}")
    return " · ".join(parts)


def people(request: DrawRequest) -> str:
    if len(request.identities) == 1:
        return shown(request.identities[0].name)
    total = sum(share.weight for share in request.identities)
    return " + ".join(f"{shown(share.name)} {share.weight / total:.0%}" for share in request.identities)


def quoted(text: str, limit: int) -> str:
    """A member's words with markdown and mentions made harmless, in at most ``limit`` characters."""
    shown_text = _escaped(text)
    while len(shown_text) > limit:
        text = text[: len(text) - max(1, (len(shown_text) - limit) // 2)]
        shown_text = f"{_escaped(text)}…"
    return shown_text


def _escaped(text: str) -> str:
    return discord.utils.escape_mentions(discord.utils.escape_markdown(text))
