"""Prompts with a trigger word: where it stands, and which word is the person's.

Called by the conditioning, and by the bot and the commands to check a prompt before it is taken.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

from photomaker_core.conditioning.person_words import NO_PERSON_WORDS, PERSON_WORDS, SINGULARS, USUAL_CLASS_WORDS
from photomaker_core.errors import PromptError

DEFAULT_TRIGGER_WORD: Final = "img"

_PEOPLE: Final = tuple(
    re.compile(rf"\b(?:{'|'.join(sorted(words, key=len, reverse=True))})\b", re.IGNORECASE)
    for words in (USUAL_CLASS_WORDS, PERSON_WORDS)
)
_WEIGHTED: Final = r"\s*\(\s*{trigger}\s*(:\s*[\d.]+\s*\))"
_GLUED: Final = re.compile(r"[./\\@-]\w")
_IN_BRACKETS: Final = re.compile(r"""[(\[{"“‘']\s*(?::\s*[\d.]+\s*)?[)\]}"”’']""")


@dataclass(frozen=True, slots=True)
class TriggeredPrompt:
    """A prompt that holds exactly one trigger word, right behind ``class_word``.

    ``trigger_inserted`` says that it was put there: it was missing, or stood behind something that is no person.
    """

    text: str
    class_word: str
    trigger_inserted: bool


@dataclass(frozen=True, slots=True)
class PlacedTriggers:
    """A prompt that holds a trigger word right behind each of its ``class_words``.

    ``trigger_inserted`` says that they were put there: all were missing, or the only one stood behind no person.
    """

    text: str
    class_words: tuple[str, ...]
    trigger_inserted: bool


def place_trigger(prompt: str, trigger_word: str = DEFAULT_TRIGGER_WORD) -> TriggeredPrompt:
    """Bring the trigger word behind the word for the person.

    A trigger counts in any case. It stays behind whatever word it stands behind, as in the reference, unless that is
    no person: punctuation, "with", "photo". Then it belongs to the nearest class word before it, or else after it. A
    missing trigger belongs to the first class word.

    Raises :class:`PromptError` for an empty prompt, several triggers, a trigger with no person anywhere,
    and a prompt that has neither a trigger nor a known class word.
    """
    text = _with_whole_spans(" ".join(prompt.split()), trigger_word)
    if not text:
        raise PromptError("The prompt is empty. Try: a man {trigger} in a red hat", trigger=trigger_word)
    found = list(trigger_pattern(trigger_word).finditer(text))
    if len(found) > 1:
        raise PromptError(
            "The prompt has the trigger word “{trigger}” {count} times. "
            "Use it once, right after the word for the person.",
            trigger=trigger_word,
            count=len(found),
        )
    if not found:
        people = _people(text)
        if not people:
            raise PromptError(
                "The prompt does not say who is in the picture. Write a word for the person followed by "
                "“{trigger}”, as in: a man {trigger} in a red hat",
                trigger=trigger_word,
            )
        return _behind(text, people[0], trigger_word)
    before, after = text[: found[0].start()], text[found[0].end() :]
    if word := _person_ending(before):
        return TriggeredPrompt(f"{before}{trigger_word}{after}", word, trigger_inserted=False)
    before, after = _tidied(before, after)
    people = _people(f"{before}{after}")
    if not people:
        raise PromptError(
            "The trigger word “{trigger}” needs a word for the person before it, as in: a woman {trigger} at the beach",
            trigger=trigger_word,
        )
    ahead = [one for one in people if one.end() <= len(before)]
    return _behind(f"{before}{after}", ahead[-1] if ahead else people[0], trigger_word)


def place_triggers(prompt: str, trigger_word: str, people: int) -> PlacedTriggers:
    """Bring every trigger word behind the word for its person.

    One person's trigger is placed by :func:`place_trigger`. A trigger of several that stands behind something that is
    no person belongs to the nearest class word between it and the trigger before. Where there is none at all, they
    belong to the first words for one person each; a prompt without such words gets them at its beginning.

    Raises :class:`PromptError` where the triggers, or the words for a person, are some but not as many as ``people``,
    and where a trigger has no person.
    """
    if people == 1:
        placed = place_trigger(prompt, trigger_word)
        return PlacedTriggers(placed.text, (placed.class_word,), placed.trigger_inserted)
    text = _with_whole_spans(" ".join(prompt.split()), trigger_word)
    parts = trigger_pattern(trigger_word).split(text)
    if len(parts) == 1:
        return _inserted(text, trigger_word, people)
    if len(parts) - 1 != people:
        raise PromptError(
            "The prompt has the trigger word “{trigger}” {count} times for {people} people. Write it once for each of "
            "them, right after the word for the person, as in: a man {trigger} and a woman {trigger} at the beach",
            trigger=trigger_word,
            count=len(parts) - 1,
            people=people,
        )
    return _moved(parts, trigger_word)


@cache
def trigger_pattern(word: str) -> re.Pattern[str]:
    """Find the trigger as a word of its own, in any case; a file name or an address holds none.

    Scripts without spaces between words, such as Chinese, may touch it.
    """
    if not word.strip():
        raise ValueError("a trigger word has at least one letter")
    letter = r"(?![\u2e80-\U0010ffff])\w"
    return re.compile(
        rf"(?<!{letter})(?<!\w[./\\@]){re.escape(word)}(?!{letter})(?![./\\@-]\w)",
        re.IGNORECASE,
    )


def without_trigger(prompt: str, trigger_word: str = DEFAULT_TRIGGER_WORD) -> str:
    """The prompt as plain text, for a text-only picture."""
    return " ".join(re.sub(rf"\s*{trigger_pattern(trigger_word).pattern}", "", prompt, flags=re.IGNORECASE).split())


def _with_whole_spans(text: str, trigger_word: str) -> str:
    """``a man (img:1.2)`` as ``a (man img:1.2)``: a weight of the trigger is meant for its person."""
    for found in reversed(
        list(re.finditer(_WEIGHTED.format(trigger=trigger_pattern(trigger_word).pattern), text, re.I))
    ):
        if word := _person_ending(before := text[: found.start()]):
            text = f"{before.removesuffix(word)}({word} {trigger_word}{found[1]}{text[found.end() :]}"
    return text


def _moved(parts: Sequence[str], trigger_word: str) -> PlacedTriggers:
    """The text between several triggers, each trigger behind the word for its person."""
    text = ""
    words: list[str] = []
    rest = parts[0]
    for number, after in enumerate(parts[1:], start=1):
        before, rest = rest, after
        if word := _person_ending(before):
            text += f"{before}{trigger_word}"
            words.append(word)
            continue
        before, rest = _tidied(before, rest)
        found = _people(before)
        if not found:
            raise PromptError(
                "Trigger word “{trigger}” number {number} needs a word for a person of its own before it, "
                "as in: a man {trigger} and a woman {trigger} at the beach",
                trigger=trigger_word,
                number=number,
            )
        end = found[-1].end()
        text += f"{before[:end]} {trigger_word}"
        words.append(found[-1][0])
        rest = _apart(f"{before[end:]}{rest}")
    return PlacedTriggers(f"{text}{rest}", tuple(words), trigger_inserted=False)


def _inserted(text: str, trigger_word: str, people: int) -> PlacedTriggers:
    """A text without triggers as one about several people."""
    found = [list(pattern.finditer(text)) for pattern in _PEOPLE]
    singles = [[one for one in words if one[0].lower() not in SINGULARS] for words in found]
    chosen = next((words[:people] for words in singles if len(words) >= people), None)
    if chosen is not None:
        ends = [0, *(one.end() for one in chosen), len(text)]
        first, *others = (text[start:end] for start, end in pairwise(ends))
        placed = f" {trigger_word}".join([first, *map(_apart, others)])
        return PlacedTriggers(placed, tuple(one[0] for one in chosen), trigger_inserted=True)
    if any(singles):
        raise PromptError(
            "The prompt has a word for {found} of {people} people. Write one for each, followed by “{trigger}”, "
            "as in: a man {trigger} and a woman {trigger} at the beach",
            found=max(map(len, singles)),
            people=people,
            trigger=trigger_word,
        )
    several = next((one[0].lower() for words in found for one in words), "")
    word = SINGULARS.get(several, "person")
    named = [f"{'an' if word[0] in 'aeiou' else 'a'} {word} {trigger_word}"] * people
    listed = f"{', '.join(named[:-1])} and {named[-1]}"
    return PlacedTriggers(f"{listed}, {text}" if text else listed, (word,) * people, trigger_inserted=True)


def _behind(text: str, person: re.Match[str], trigger_word: str) -> TriggeredPrompt:
    end = person.end()
    return TriggeredPrompt(f"{text[:end]} {trigger_word}{_apart(text[end:])}", person[0], trigger_inserted=True)


def _apart(rest: str) -> str:
    """What follows a trigger that is put in: in a man/woman it would be taken for a part of a path."""
    return f" {rest}" if _GLUED.match(rest) else rest


def _people(text: str) -> Sequence[re.Match[str]]:
    """The usual class words of a text, or where there is none any word for a person."""
    return next((found for pattern in _PEOPLE if (found := list(pattern.finditer(text)))), [])


def _person_ending(text: str) -> str:
    """The word that ends a text, unless it is no person; then empty."""
    word = _last_word(text)
    return "" if word.lower() in NO_PERSON_WORDS else word


def _last_word(text: str) -> str:
    """The word that ends a text, in any script; empty where punctuation, a symbol or an apostrophe's ending does."""
    chunk = text.rstrip().rpartition(" ")[2]
    start = len(chunk)
    while start and (unicodedata.category(chunk[start - 1])[0] in "LMN" or chunk[start - 1] in "'’"):
        start -= 1
    word = chunk[start:].lstrip("'’")
    has_letter = any(unicodedata.category(letter)[0] == "L" for letter in word)
    return word if has_letter and not set(word) & set("'’") else ""


def _tidied(before: str, after: str) -> tuple[str, str]:
    """The text around a trigger that is taken out, without the brackets or the comma that held it."""
    before, after = before.rstrip(), after.lstrip()
    joint = _IN_BRACKETS.match(f"{before[-1:]}{after}")
    if joint is not None:
        before, after = before[:-1].rstrip(), after[joint.end() - 1 :].lstrip()
    elif before.endswith(",") and not after[:1].isalnum():
        before = before[:-1].rstrip()
    gap = "" if not before or not after or after[0] in ",.;:!?)]}”’" else " "
    return before, f"{gap}{after}"
