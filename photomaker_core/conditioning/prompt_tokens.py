"""Prompts with a trigger word: finding the class word, and making room for the ID features.

The semantics are those of PhotoMaker (arXiv 2312.04461, section 3.2, and its reference code): the
class word before the trigger is repeated once per ID token, and those places are later replaced by the
stacked ID embedding. Called by the conditioning, and by the bot to check a prompt before it is taken.

The reference makes the trigger a token of the tokenizers. Here it is found in the text and never becomes an id, so that
no spelling of it, typed anywhere, can reach an encoder that has no embedding for it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from photomaker_core.conditioning.person_words import NO_PERSON_WORDS, PERSON_WORDS, USUAL_CLASS_WORDS
from photomaker_core.errors import PromptError
from photomaker_core.models.prompt_tokenizer import PromptTokenizer

DEFAULT_TRIGGER_WORD: Final = "img"

_PEOPLE: Final = tuple(
    re.compile(rf"\b(?:{'|'.join(sorted(words, key=len, reverse=True))})\b", re.IGNORECASE)
    for words in (USUAL_CLASS_WORDS, PERSON_WORDS)
)
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
class IdentityPrompt:
    """One tokenizer's view of a prompt whose class word makes room for the ID tokens.

    ``input_ids`` has the tokenizer's ``length`` entries; those in ``class_tokens`` belong to the stacked ID
    embedding. ``dropped_text`` is what did not fit and is not seen by the model.
    """

    input_ids: list[int]
    class_tokens: range
    dropped_text: str


def place_trigger(prompt: str, trigger_word: str = DEFAULT_TRIGGER_WORD) -> TriggeredPrompt:
    """Bring the trigger word behind the word for the person.

    A trigger counts in any case. It stays behind whatever word it stands behind, as in the reference, unless that is
    no person: punctuation, "with", "photo". Then it belongs to the nearest class word before it, or else after it. A
    missing trigger belongs to the first class word.

    Raises :class:`PromptError` for an empty prompt, several triggers, a trigger with no person anywhere,
    and a prompt that has neither a trigger nor a known class word.
    """
    text = " ".join(prompt.split())
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


def place_triggers(prompt: str, trigger_word: str, people: int) -> tuple[str, tuple[str, ...]]:
    """Bring every trigger word behind the word for its person; return the prompt and the people's words.

    One person's trigger is placed by :func:`place_trigger`. With several each must be there; one that stands behind
    something that is no person belongs to the nearest class word between it and the trigger before.

    Raises :class:`PromptError` where the triggers are not as many as ``people``, or one has no person.
    """
    if people == 1:
        placed = place_trigger(prompt, trigger_word)
        return placed.text, (placed.class_word,)
    parts = trigger_pattern(trigger_word).split(" ".join(prompt.split()))
    if len(parts) - 1 != people:
        raise PromptError(
            "The prompt has the trigger word “{trigger}” {count} times for {people} people. Write it once for each of "
            "them, right after the word for the person, as in: a man {trigger} and a woman {trigger} at the beach",
            trigger=trigger_word,
            count=len(parts) - 1,
            people=people,
        )
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
        rest = f"{before[end:]}{rest}"
    return f"{text}{rest}", tuple(words)


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


def identity_prompt(tokenizer: PromptTokenizer, prompt: str, trigger_word: str, id_token_count: int) -> IdentityPrompt:
    """Expand the class token to ``id_token_count`` places and fit the ids to the tokenizer's length.

    The prompt is truncated to the tokenizer's length first, with the trigger as one token, then expanded, then cut or
    padded, as the reference does. Raises :class:`PromptError` when the trigger is missing or misplaced, or when the
    expansion itself runs past the end.
    """
    parts = trigger_pattern(trigger_word).split(prompt)
    most = tokenizer.length - 2
    before = tokenizer.ids(parts[0])
    if len(parts) != 2 or len(before) >= most:
        raise PromptError(
            "The prompt must hold the trigger word “{trigger}” exactly once within its first {limit} tokens; "
            "it was found {count} times.",
            trigger=trigger_word,
            limit=most,
            count=len(parts) - 1 if len(before) < most else 0,
        )
    if not before:
        raise PromptError("The trigger word “{trigger}” must follow the word for the person.", trigger=trigger_word)
    words = [*before, *tokenizer.ids(parts[1])]
    class_tokens = range(len(before), len(before) + id_token_count)
    if class_tokens.stop > tokenizer.length:
        raise PromptError(
            "The word before “{trigger}” comes too late: it and the {count} ID tokens that replace it must lie "
            "within the first {limit} tokens. Move the person nearer to the beginning.",
            trigger=trigger_word,
            count=id_token_count,
            limit=tokenizer.length,
        )
    kept = words[: most - 1]
    expanded = tokenizer.framed(kept)[: len(kept) + 2]
    expanded[class_tokens.start : class_tokens.start + 1] = [before[-1]] * id_token_count
    seen = min(len(kept), tokenizer.length - id_token_count)
    return IdentityPrompt(tokenizer.padded(expanded), class_tokens, tokenizer.text(words[seen:]))


def one_chunk_holds(tokenizer: PromptTokenizer, prompt: str, trigger_word: str, id_token_count: int) -> bool:
    """True where :func:`identity_prompt` drops nothing of a prompt with one trigger."""
    words = sum(len(tokenizer.ids(part)) for part in trigger_pattern(trigger_word).split(prompt))
    return words <= min(tokenizer.length - 3, tokenizer.length - id_token_count)


def text_only_prompt(tokenizer: PromptTokenizer, prompt: str, trigger_word: str) -> str:
    """The prompt without its trigger, as the first tokenizer spells it."""
    return tokenizer.text(
        [token for part in trigger_pattern(trigger_word).split(prompt) for token in tokenizer.ids(part)]
    )


def unseen_text(tokenizer: PromptTokenizer, prompt: str) -> str:
    """The end of a plain prompt that does not fit the tokenizer's length."""
    return tokenizer.text(tokenizer.ids(prompt)[tokenizer.length - 2 :])


def _behind(text: str, person: re.Match[str], trigger_word: str) -> TriggeredPrompt:
    end = person.end()
    return TriggeredPrompt(f"{text[:end]} {trigger_word}{text[end:]}", person[0], trigger_inserted=True)


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
