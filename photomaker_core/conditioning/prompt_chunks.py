"""Prompts of any length as chunks of 75 tokens, with room in them for several people's ID tokens.

As in AUTOMATIC1111 and ComfyUI each chunk stands between a begin and an end token and is encoded apart. Called by the
conditioning for prompts that one chunk cannot hold, that have weights, or that name several people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from photomaker_core.conditioning.prompt_weights import WeightedText
from photomaker_core.conditioning.trigger_placement import trigger_pattern
from photomaker_core.errors import PromptError
from photomaker_core.models.prompt_tokenizer import PromptTokenizer

_COMMA_WITHIN: Final = 20
"""AUTOMATIC1111's default: a chunk ends early, behind a comma, where that leaves at most so many places empty."""


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A piece of a prompt; ``names_person`` where a trigger word followed its last word."""

    text: str
    weight: float = 1.0
    names_person: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A word's ids in one tokenizer, which a chunk holds whole. ``person`` counts the prompt's people from 0."""

    ids: tuple[int, ...]
    weight: float
    ends_phrase: bool
    person: int | None = None


@dataclass(frozen=True, slots=True)
class PromptLayout:
    """One tokenizer's view of a prompt in chunks.

    ``chunks`` are the ids, each framed and padded to the tokenizer's length; ``weights`` one a place of all chunks
    together. ``id_places`` are those of each person's ID tokens and ``class_words`` those of the tokens of the word for
    them, ``None`` for a person who found no place. ``dropped`` are the ids that no chunk holds.
    """

    chunks: tuple[list[int], ...]
    weights: tuple[float, ...]
    id_places: tuple[range | None, ...]
    class_words: tuple[range | None, ...]
    dropped: tuple[int, ...]


def prompt_parts(texts: Iterable[WeightedText], trigger_word: str | None = None) -> list[PromptPart]:
    """Cut weighted texts at their trigger words, which are left out; ``None`` cuts nowhere."""
    parts: list[PromptPart] = []
    for text in texts:
        pieces = [text.text] if trigger_word is None else trigger_pattern(trigger_word).split(text.text)
        parts += [PromptPart(piece, text.weight, names_person=True) for piece in pieces[:-1]]
        parts.append(PromptPart(pieces[-1], text.weight))
    return parts


def spelled_by(tokenizer: PromptTokenizer, parts: Iterable[PromptPart]) -> list[PromptPart]:
    """The same parts as a tokenizer writes them, as the reference has its text-only prompt."""
    return [replace(part, text=tokenizer.text(tokenizer.ids(part.text))) for part in parts]


def read_words(tokenizer: PromptTokenizer, parts: Iterable[PromptPart]) -> list[Word]:
    """The words of a prompt; raises :class:`PromptError` where a trigger has no word before it."""
    words: list[Word] = []
    people, comma = 0, tokenizer.ids(",")
    for part in parts:
        found = tokenizer.words(tokenizer.ids(part.text))
        if part.names_person and not found:
            raise PromptError("A trigger word in the prompt must follow the word for the person.")
        for index, ids in enumerate(found):
            is_person = part.names_person and index == len(found) - 1
            if len(ids) > tokenizer.length - 2 and not is_person:
                words += [Word((one,), part.weight, ends_phrase=False) for one in ids]
            else:
                words.append(Word(tuple(ids), part.weight, ids == comma, people if is_person else None))
            people += is_person
    return words


def lay_out(
    tokenizer: PromptTokenizer, words: Sequence[Word], id_token_counts: Sequence[int], max_chunks: int
) -> PromptLayout:
    """Fill at most ``max_chunks`` chunks; each person's last token is repeated once per ID token of theirs.

    A word and a person's whole span stay in one chunk. Chunks end early behind a comma, unless words would be dropped
    for it. What comes after the first word that finds no room is dropped.
    """
    room = tokenizer.length - 2
    chunks, dropped = _filled(words, id_token_counts, room, max_chunks, _COMMA_WITHIN)
    if dropped:
        fuller, fewer = _filled(words, id_token_counts, room, max_chunks, 0)
        if len(fewer) < len(dropped):
            chunks, dropped = fuller, fewer
    ids: list[list[int]] = []
    weights: list[float] = []
    id_places: list[range | None] = [None] * len(id_token_counts)
    class_words: list[range | None] = [None] * len(id_token_counts)
    for number, chunk in enumerate(chunks):
        content: list[int] = []
        chunk_weights: list[float] = [1.0]
        for word in chunk:
            start = number * tokenizer.length + 1 + len(content)
            content += word.ids
            if word.person is not None:
                count = id_token_counts[word.person]
                content += [word.ids[-1]] * (count - 1)
                last = start + len(word.ids) - 1
                id_places[word.person] = range(last, last + count)
                class_words[word.person] = range(start, last + 1)
            chunk_weights += [word.weight] * (1 + len(content) - len(chunk_weights))
        ids.append(tokenizer.framed(content))
        weights += [*chunk_weights, *([1.0] * (tokenizer.length - len(chunk_weights)))]
    return PromptLayout(
        tuple(ids),
        tuple(weights),
        tuple(id_places),
        tuple(class_words),
        tuple(one for word in dropped for one in word.ids),
    )


def _filled(
    words: Sequence[Word], id_token_counts: Sequence[int], room: int, max_chunks: int, comma_within: int
) -> tuple[list[list[Word]], list[Word]]:
    """The words of each chunk of ``room`` places, and those that find no room in any."""

    def size(some: Iterable[Word]) -> int:
        return sum(len(one.ids) + (0 if one.person is None else id_token_counts[one.person] - 1) for one in some)

    chunks: list[list[Word]] = [[]]
    for index, word in enumerate(words):
        if size([*chunks[-1], word]) > room:
            if len(chunks) == max_chunks or size([word]) > room:
                return chunks, list(words[index:])
            moved = _behind_comma(chunks[-1])
            if size(moved) > comma_within or size([*moved, word]) > room:
                moved = []
            del chunks[-1][len(chunks[-1]) - len(moved) :]
            chunks.append(moved)
        chunks[-1].append(word)
    return chunks, []


def _behind_comma(chunk: Sequence[Word]) -> list[Word]:
    """The words behind a chunk's last comma; none where there is no comma."""
    last = max((index for index, word in enumerate(chunk) if word.ends_phrase), default=len(chunk))
    return list(chunk[last + 1 :])
