"""Refusal of sexual pictures of minors, whatever a server or the operator allows.

Called where a request is admitted, where its drawing is prepared, and where a prompt is kept. What is written with
other letters, signs, digits, gaps or hidden characters is read as what it looks like. Where that is too strict, a
picture of an adult is refused and other words will do; the other mistake is the one to avoid.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from typing import Final

from bot.domain import minor_protection_words as known
from bot.domain.draw_request import DrawRequest
from bot.domain.member_text import foldings
from photomaker_core.errors import PromptError

_LATIN: Final = str.maketrans(
    dict(zip("ıłøđħɡɑɩᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "ilodhgaiabcdefghijklmnoprstuvwyz", strict=True))
)
"""Letters that look like Latin ones, and have no decomposition into them."""
_SIGNS: Final = str.maketrans(dict(zip("@$€!|+¡", "aseiiti", strict=True)))
_DIGITS: Final = str.maketrans(dict(zip("013457869", "oieastbbg", strict=True)))
_SHAPES: Final = str.maketrans(dict(zip("013457869lz", "oieastbbgis", strict=True)))
"""Digits that stand for letters, and letters that are taken for each other: i, l and 1; s, z and 5."""
_VOWELS: Final = frozenset("aeiouy")
_WORD: Final = re.compile(r"[^\W_]+")
_BRACKETS: Final = re.compile(r"[()\[\]{}<>\\]|:\s*\d+(?:\.\d+)?(?=\s*[)\]])")
"""The marks of weights in a prompt."""
_WITHIN: Final = re.compile(r"(?<=[^\W_])(?:[^\w\s]|_)+(?=[^\W_])")
_SPELT_OUT: Final = re.compile(r"(?<![^\W_])(?:[^\W_][\W_]+){2,}[^\W_](?![^\W_])")
_BETWEEN_IDEOGRAPHS: Final = re.compile(r"(?<=[\u3400-\u9fff])[^\u3400-\u9fff\w]+(?=[\u3400-\u9fff])")
_LONGEST_WORD: Final = 100


def check_minors(prompt: str, negative: str | None = None, people: Iterable[str] = ()) -> None:
    """Raise :class:`PromptError` for a prompt that puts a minor and something sexual together.

    ``prompt`` is all that says what the picture shows; ``people`` are names of who is in it, which can say how old
    somebody is, and nothing sexual.
    """
    wanted, unwanted = _Reading(prompt), _Reading(negative or "")
    is_minor = wanted.tells_a_minor or any(_Reading(name).tells_a_minor for name in people)
    is_sexual = wanted.has(_SEXUAL) or wanted.says(known.NAKED_PHRASE) or wanted.lacks(_CLOTHES)
    if (is_minor or unwanted.has(_ADULTS)) and (is_sexual or unwanted.has(_CLOTHES)):
        raise PromptError("I draw nothing sexual with children or teenagers, nowhere and for nobody.")


def check_minors_in(request: DrawRequest) -> None:
    """The same for all that a request says, the names of its people and LoRAs included."""
    prompt = " , ".join([request.styled()[0], *(name for name, _ in request.loras)])
    check_minors(prompt, request.negative, [one.name for one in request.identities])


class _Words:
    """Words to look for, and what to look for within texts that put no spaces between theirs."""

    def __init__(self, words: frozenset[str], within: frozenset[str]) -> None:
        self._within = within
        self.shapes = frozenset(map(_shape, words))
        self._runs: dict[str, list[tuple[int, ...]]] = defaultdict(list)
        for word in words:
            letters, runs = _runs(word)
            self._runs[letters].append(runs)

    def are_in(self, text: str) -> bool:
        return any(one in text for one in self._within)

    def have(self, word: str) -> bool:
        """True for one of the words, also with letters drawn out: vowels, and whatever is repeated three times."""
        if _shape(word) in self.shapes:
            return True
        letters, runs = _runs(word.translate(_DIGITS))
        return any(
            all(
                run == least or (run > least and (letter in _VOWELS or run > 2))
                for letter, run, least in zip(letters, runs, wanted, strict=True)
            )
            for wanted in self._runs.get(letters, ())
        )


class _Reading:
    """The ways in which a text can be read."""

    def __init__(self, text: str) -> None:
        plain = {_without_accents(one) for one in foldings(text)}
        plain |= {_BRACKETS.sub("", one) for one in plain}
        self._plain = plain | {" ".join(_WORD.findall(one)) for one in plain}
        signed = plain | {one.translate(_SIGNS) for one in plain}
        whole = signed | {_WITHIN.sub("", one) for one in signed}
        self._unspaced = plain | {_BETWEEN_IDEOGRAPHS.sub("", one) for one in plain}
        self._words = {word for one in whole for word in _WORD.findall(one)}
        self._spelt = {_shape("".join(_WORD.findall(run))) for one in signed for run in _SPELT_OUT.findall(one)}

    def has(self, words: _Words) -> bool:
        return (
            any(map(words.are_in, self._unspaced))
            or any(map(words.have, self._words))
            or any(shape in run for run in self._spelt for shape in words.shapes)
            or any(not words.shapes.isdisjoint(_parts(_shape(word))) for word in self._words)
        )

    @property
    def tells_a_minor(self) -> bool:
        return self.has(_MINORS) or self.says(known.MINORS_AGE) or self.says(known.MINORS_PHRASE)

    def says(self, phrase: re.Pattern[str]) -> bool:
        return any(map(phrase.search, self._plain))

    def lacks(self, words: _Words) -> bool:
        """True where one of the words is said to be absent."""
        absent = (found["what"] for one in self._plain for found in known.WITHOUT.finditer(one))
        return any(words.have(word) for what in absent for word in _WORD.findall(what))


def _without_accents(text: str) -> str:
    marked = unicodedata.normalize("NFD", text)
    return "".join(one for one in marked if not unicodedata.combining(one)).translate(_LATIN)


def _shape(word: str) -> str:
    """What a word looks like: letters and digits that are taken for each other are one."""
    return word.translate(_SHAPES)


def _runs(word: str) -> tuple[str, tuple[int, ...]]:
    """The letters of a word without repetitions, and how often each is repeated."""
    runs = [(letter, len(list(group))) for letter, group in groupby(word)]
    return "".join(letter for letter, _ in runs), tuple(count for _, count in runs)


def _parts(shape: str) -> set[str]:
    """The known words that a longer word consists of, where it consists of nothing else."""
    length = len(shape)
    if not 6 <= length <= _LONGEST_WORD:
        return set()
    pieces = [
        (start, end) for start in range(length) for end in range(start + 3, length + 1) if shape[start:end] in _KNOWN
    ]
    reached, reaching = {0}, {length}
    for start, end in pieces:
        if start in reached:
            reached.add(end)
    for start, end in reversed(pieces):
        if end in reaching:
            reaching.add(start)
    return {shape[start:end] for start, end in pieces if start in reached and end in reaching}


_MINORS: Final = _Words(known.MINORS, known.CHINESE_MINORS)
_SEXUAL: Final = _Words(known.SEXUAL, known.CHINESE_SEXUAL)
_CLOTHES: Final = _Words(known.CLOTHES, known.CHINESE_CLOTHES)
_ADULTS: Final = _Words(known.ADULTS, known.CHINESE_ADULTS)
_KNOWN: Final = _MINORS.shapes | _SEXUAL.shapes | frozenset(map(_shape, known.FILLERS))
