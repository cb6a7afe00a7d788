"""What the bot says: lists, and a job's waiting, drawing, result and settings, within Discord's limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import discord

from bot.domain.draw_request import DEFAULT_QUALITY, DEFAULT_STYLE_STRENGTH, DrawRequest
from bot.domain.identity_names import shown
from bot.i18n.catalogue import gettext, ngettext
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
    room = MESSAGE_LIMIT - len(and_more(len(lines)))
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, and_more(len(lines) - len(kept))])


def and_more(lines: int) -> str:
    """The last line of a list that is longer than what is shown."""
    return gettext("… and {number} more", number=lines)


def waiting(jobs_before: int, expected_s: float | None) -> str:
    told = gettext("⏳ Your picture is next.")
    if jobs_before:
        told = ngettext(
            "⏳ Waiting: {number} job before yours.", "⏳ Waiting: {number} jobs before yours.", jobs_before
        )
    return told if expected_s is None else f"{told} {gettext('Ready in about {time}.', time=duration(expected_s))}"


def whole_queue(jobs: int, expected_s: float | None) -> str:
    if not jobs:
        return gettext("Nothing is waiting.")
    told = ngettext("{number} job is open.", "{number} jobs are open.", jobs)
    return (
        told if expected_s is None else f"{told} {gettext('All are ready in about {time}.', time=duration(expected_s))}"
    )


def own_job(request: DrawRequest, state: str) -> str:
    prompt = quoted(request.prompt, _SHOWN_REST)
    return gettext("- yours: {people}, “{prompt}”: {state}", people=people(request), prompt=prompt, state=state)


def past_job(record: JobRecord, request: DrawRequest, limit: int) -> str:
    """An entry of the history: what was asked, when, and a link to the message."""
    when = discord.utils.format_dt(record.created_at, "R")
    link = f"https://discord.com/channels/{request.guild_id or '@me'}/{record.channel_id}/{record.message_id}"
    about = gettext("{people} · seed `{seed}` · {when}", people=people(request), seed=request.seed, when=when)
    return f"“{quoted(request.prompt, limit)}”\n{about} · [{gettext('message')}]({link})"


def duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return gettext("{number} s", number=whole) if whole < 100 else gettext("{number} min", number=round(whole / 60))


def drawing(request: DrawRequest, step: int, steps: int, elapsed_s: float) -> str:
    filled = _BAR_CELLS * step // steps
    bar = "▰" * filled + "▱" * (_BAR_CELLS - filled)
    rest = f" · {gettext('about {time} left', time=duration(elapsed_s / step * (steps - step)))}" if step else ""
    return f"🎨 {gettext('Drawing {people}', people=people(request))}\n{bar} {100 * step // steps} %{rest}"


def result(request: DrawRequest, dropped_text: str) -> str:
    lines = [f"“{quoted(request.prompt, _SHOWN_PROMPT)}”", f"{people(request)} · {settings(request)}"]
    if request.trigger_inserted:
        told = gettext(
            "I put the trigger word `img` after the word for the person; next time you can write it yourself."
        )
        lines.append(f"-# {told}")
    lines += [f"-# {_escaped(note)}" for note in request.notes]
    if dropped_text:
        unseen = quoted(dropped_text, _SHOWN_REST)
        lines.append(f"-# {gettext('The prompt is too long; the model did not see: “{text}”', text=unseen)}")
    return "\n".join(lines)


def settings(request: DrawRequest) -> str:
    last = request.seed + request.count - 1
    seeds = gettext("seed `{seed}`", seed=request.seed)
    if request.count > 1:
        seeds = gettext("seeds `{first}` to `{last}`", first=request.seed, last=last)
    parts = [
        seeds,
        ngettext("{number} step", "{number} steps", request.steps),
        gettext("guidance {value:g}", value=request.guidance),
        gettext(request.aspect),
    ]
    if request.style != "None":
        parts.append(gettext(request.style))
    if request.lora:
        parts.append(f"LoRA {_escaped(request.lora)}")
    if request.quality != DEFAULT_QUALITY:
        parts.append(gettext("quality: {quality}", quality=gettext(request.quality)))
    if request.style_strength != DEFAULT_STYLE_STRENGTH and request.denoise_strength == 1:
        parts.append(gettext("style strength {value:g} %", value=request.style_strength))
    if request.denoise_strength < 1:
        parts.append(gettext("{share:.0%} drawn anew", share=request.denoise_strength))
    if request.upscale_factor != 1:
        parts.append(gettext("{times:g} times as large", times=request.upscale_factor))
    if request.negative:
        parts.append(gettext("without {text}", text=quoted(request.negative, _SHOWN_REST)))
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
