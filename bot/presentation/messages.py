"""Sentences about jobs, and lists, within Discord's limits: waiting, drawing, result, settings, history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import discord

from bot.domain.draw_request import DEFAULT_QUALITY, DEFAULT_STYLE_STRENGTH, DrawRequest
from bot.domain.identity_names import shown
from bot.domain.lora_choice import lora_text
from bot.domain.member_text import quoted
from bot.domain.several_people import AUTOMATIC_LAYOUT
from bot.i18n.catalogue import gettext, ngettext
from storage import JobRecord
from storage.erasure import FORGOTTEN_NAME
from storage.jobs import CANCELLED

MESSAGE_LIMIT: Final = 2000
_BAR_CELLS: Final = 12
_SHOWN_PROMPT: Final = 700
_SHOWN_REST: Final = 250
_SHOWN_NOTE: Final = 150
_TRIGGER_INSERTED: Final = (
    "I put the trigger word `img` after the word for the person; next time you can write it yourself."
)
_TRIGGERS_INSERTED: Final = (
    "I put the trigger word `img` after the word for each person; next time you can write it yourself."
)
_ROOM_FOR_A_MENTION: Final = 40
"""A result that comes late begins with the member's mention."""


def listing(lines: Sequence[str], limit: int = MESSAGE_LIMIT) -> str:
    """Join lines; of those that are too many for ``limit`` characters, the first ones and the number of the rest."""
    whole = "\n".join(lines)
    if len(whole) <= limit:
        return whole
    kept: list[str] = []
    room = limit - len(and_more(len(lines)))
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, and_more(len(lines) - len(kept))])


def and_more(lines: int) -> str:
    """The last line of a list that is longer than what is shown."""
    return gettext("… and {number} more", number=lines)


def enumeration(items: Sequence[str], limit: int) -> str:
    """Join items with commas; of those that are too many for ``limit`` characters, say how many more there are."""
    kept = ", ".join(items)
    number = len(items)
    while len(kept) > limit:
        number -= 1
        kept = ", ".join([*items[:number], and_more(len(items) - number)])
    return kept


def waiting(jobs_before: int, expected_s: float | None) -> str:
    """A job that waits: its place in the queue and, where the pace is known, the time until it is ready."""
    told = gettext("⏳ Your picture is next.")
    if jobs_before:
        told = ngettext(
            "⏳ Waiting: {number} job before yours.", "⏳ Waiting: {number} jobs before yours.", jobs_before
        )
    return told if expected_s is None else f"{told} {gettext('Ready in about {time}.', time=duration(expected_s))}"


def whole_queue(jobs: int, expected_s: float | None) -> str:
    """The length of the whole queue and, where the pace is known, the time until it is empty."""
    if not jobs:
        return gettext("Nothing is waiting.")
    told = ngettext("{number} job is open.", "{number} jobs are open.", jobs)
    return (
        told if expected_s is None else f"{told} {gettext('All are ready in about {time}.', time=duration(expected_s))}"
    )


def own_job(request: DrawRequest, state: str) -> str:
    """One of the member's own open jobs, as a line of a list."""
    prompt = quoted(request.prompt, _SHOWN_REST)
    return gettext("- yours: {people}, “{prompt}”: {state}", people=people(request), prompt=prompt, state=state)


def untold_job(record: JobRecord, request: DrawRequest) -> str:
    """A job whose end could not be told when it came, as a line of a list."""
    return own_job(request, gettext("cancelled") if record.state == CANCELLED else gettext("not delivered"))


def past_job(record: JobRecord, request: DrawRequest, limit: int) -> str:
    """An entry of the history: the prompt in at most ``limit`` characters, the time, and a link to the message."""
    when = discord.utils.format_dt(record.created_at, "R")
    link = f"https://discord.com/channels/{request.guild_id or '@me'}/{record.channel_id}/{record.message_id}"
    about = gettext("{people} · seed `{seed}` · {when}", people=people(request), seed=request.seed, when=when)
    return f"“{quoted(request.prompt, limit)}”\n{about} · [{gettext('message')}]({link})"


def duration(seconds: float) -> str:
    """A time in seconds, or in minutes from 100 seconds on."""
    whole = max(1, round(seconds))
    return gettext("{number} s", number=whole) if whole < 100 else gettext("{number} min", number=round(whole / 60))


def drawing(request: DrawRequest, step: int, steps: int, elapsed_s: float) -> str:
    """A job that is drawn: a progress bar and the time that is left at the pace so far."""
    filled = _BAR_CELLS * step // steps
    bar = "▰" * filled + "▱" * (_BAR_CELLS - filled)
    rest = f" · {gettext('about {time} left', time=duration(elapsed_s / step * (steps - step)))}" if step else ""
    return f"🎨 {gettext('Drawing {people}', people=people(request))}\n{bar} {100 * step // steps} %{rest}"


def result(request: DrawRequest, dropped_text: str) -> str:
    """The prompt, the people, the settings and what the member should know; the prompt is shortened to make room."""
    lines = [f"{people(request)} · {settings(request)}"]
    if request.trigger_inserted:
        lines.append(f"-# {gettext(_TRIGGER_INSERTED if request.layout is None else _TRIGGERS_INSERTED)}")
    lines += [f"-# {quoted(note, _SHOWN_NOTE)}" for note in request.notes]
    if dropped_text:
        unseen = quoted(dropped_text, _SHOWN_REST)
        lines.append(f"-# {gettext('The prompt is too long; the model did not see: “{text}”', text=unseen)}")
    rest = "\n".join(lines)
    room = MESSAGE_LIMIT - _ROOM_FOR_A_MENTION - len(rest) - len("“”\n")
    return f"“{quoted(request.prompt, min(_SHOWN_PROMPT, room))}”\n{rest}"


def photos_left_out(given: Sequence[int], used: Sequence[int]) -> list[str]:
    """A note where a person's photos did not all find room beside the words of the prompt."""
    if not any(one < other for one, other in zip(used, given, strict=False)):
        return []
    listed = ", ".join(
        gettext("{used} of {given}", used=one, given=other) for one, other in zip(used, given, strict=False)
    )
    return [gettext("Not all photos found room beside these words. I used: {photos}.", photos=listed)]


def explicit_pictures(refused: int, blurred: int) -> list[str]:
    """Notes on pictures that are not shown as they were drawn."""
    notes = []
    if refused:
        notes.append(
            ngettext(
                "{number} picture looks explicit and is left out.",
                "{number} pictures look explicit and are left out.",
                refused,
            )
        )
    if blurred:
        notes.append(
            ngettext(
                "{number} picture looks explicit and is blurred.",
                "{number} pictures look explicit and are blurred.",
                blurred,
            )
        )
    return notes


def settings(request: DrawRequest) -> str:
    """The settings of a request, without those that are usual."""
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
    if request.loras:
        parts.append(f"LoRA {quoted(lora_text(request.loras), _SHOWN_NOTE)}")
    if request.quality != DEFAULT_QUALITY:
        parts.append(gettext("quality: {quality}", quality=gettext(request.quality)))
    if request.style_strength != DEFAULT_STYLE_STRENGTH and request.denoise_strength == 1:
        parts.append(gettext("style strength {value:g} %", value=request.style_strength))
    if request.denoise_strength < 1:
        parts.append(gettext("{share:.0%} drawn anew", share=request.denoise_strength))
    if request.upscale_factor != 1:
        parts.append(gettext("{times:g} times as large", times=request.upscale_factor))
    if request.layout not in (None, AUTOMATIC_LAYOUT):
        parts.append(gettext("layout: {layout}", layout=gettext(request.layout or "")))
    if request.exchange:
        parts.append(gettext("places swapped"))
    if request.negative:
        parts.append(gettext("without {text}", text=quoted(request.negative, _SHOWN_REST)))
    return " · ".join(parts)


def people(request: DrawRequest) -> str:
    """The names of the people in a request, with their shares where they are blended."""
    if len(request.identities) == 1 or request.layout is not None:
        return " & ".join(_named(one.name) for one in request.identities)
    total = sum(share.weight for share in request.identities)
    return " + ".join(f"{_named(share.name)} {share.weight / total:.0%}" for share in request.identities)


def _named(name: str) -> str:
    """A person's name; for one whom their owner has deleted, a word of the reader's language."""
    return gettext("somebody") if name == FORGOTTEN_NAME else shown(name)
