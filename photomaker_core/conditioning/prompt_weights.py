"""Weights in prompts, in AUTOMATIC1111's spelling: ``(word:1.3)``, ``((word))``, ``[word]``, ``\\(`` for a bracket.

Called by the conditioning, and by the bot to check a prompt before it is taken.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from photomaker_core.errors import PromptError

BRACKET_WEIGHT: Final = 1.1
MAX_WEIGHT: Final = 3.0

_OPENING: Final = {")": "(", "]": "["}
_ESCAPE: Final = re.compile(r"\\(?=[()\[\]])")
_WORD: Final = re.compile(r"[^\W_]")
_NUMBER: Final = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)", re.IGNORECASE | re.ASCII)
_NO_NUMBER: Final = re.compile(r"[\d.,+-]+")


@dataclass(frozen=True, slots=True)
class WeightedText:
    """A piece of a prompt, without the brackets of its weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class _Brackets:
    """A well-formed pair: its text ends before ``text_end``, the pair itself with ``close``."""

    factor: float
    text_end: int
    close: int


def weighted_texts(prompt: str) -> tuple[WeightedText, ...]:
    """Read a prompt's weights; one without a well-formed weight is a single piece, as it stands.

    A pair of round brackets around at least one letter or digit multiplies the weight by 1.1, or by the number behind
    a colon at its end; square brackets divide it by 1.1. A bracket without a partner, an empty pair, ``(word:1.2.3)``,
    and AUTOMATIC1111's prompt editing ``[a:b:0.5]`` and ``[a|b]`` are no weights but plain text. A bracket behind a
    backslash is a plain bracket.

    Raises :class:`PromptError` for a weight that is no number from 0 to 3.
    """
    escapes = {found.start() for found in _ESCAPE.finditer(prompt)}
    pairs = _pairs(prompt, {start + 1 for start in escapes})
    if not pairs and not escapes:
        return (WeightedText(prompt),)
    texts: list[WeightedText] = []
    open_pairs: list[_Brackets] = []
    weights = [1.0]
    is_joint = False
    place = 0
    while place < len(prompt):
        if open_pairs and place == open_pairs[-1].text_end:
            place = open_pairs.pop().close + 1
            weights.pop()
            is_joint = True
        elif place in pairs:
            open_pairs.append(pairs[place])
            weights.append(_checked(weights[-1] * pairs[place].factor))
            place += 1
            is_joint = True
        else:
            place += place in escapes
            _append(texts, prompt[place], weights[-1], is_joint=is_joint)
            place += 1
            is_joint = False
    return tuple(texts)


def weigh(tokens: Tensor, empty: Tensor, weights: Tensor) -> Tensor:
    """Move token embeddings [1, L, D] away from the empty prompt's, or towards them: e + w (z - e).

    This is ComfyUI's reading (``comfy/sd1_clip.py``); ``weights`` is [1, L, D]. Embeddings of weight 1 stay the same
    bits.
    """
    return torch.where(weights == 1, tokens, empty + weights * (tokens - empty))


def _pairs(prompt: str, escaped: set[int]) -> dict[int, _Brackets]:
    """The well-formed pairs of brackets by where they open."""
    found: dict[int, _Brackets] = {}
    waiting: list[int] = []
    for place, letter in enumerate(prompt):
        if place in escaped or letter not in "()[]":
            continue
        if letter in "([":
            waiting.append(place)
        elif waiting and prompt[waiting[-1]] == _OPENING[letter]:
            start = waiting.pop()
            pair = _brackets(prompt, start, place)
            if pair is not None:
                found[start] = pair
    return found


def _brackets(prompt: str, start: int, close: int) -> _Brackets | None:
    text = prompt[start + 1 : close]
    if prompt[start] == "[":
        is_weight = _WORD.search(text) and not set(text) & set("|:")
        return _Brackets(1 / BRACKET_WEIGHT, close, close) if is_weight else None
    before, colon, number = text.rpartition(":")
    number = number.strip()
    if colon and _NUMBER.fullmatch(number):
        return _Brackets(float(number), start + 1 + len(before), close) if _WORD.search(before) else None
    if (colon and _NO_NUMBER.fullmatch(number)) or not _WORD.search(text):
        return None
    return _Brackets(BRACKET_WEIGHT, close, close)


def _checked(weight: float) -> float:
    if not (math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT):
        raise PromptError(
            "A weight in the prompt must be between {low} and {high}; {value:g} is not. "
            "For plain brackets write \\( and \\).",
            low=0,
            high=f"{MAX_WEIGHT:g}",
            value=weight,
        )
    return weight


def _append(texts: list[WeightedText], letter: str, weight: float, *, is_joint: bool) -> None:
    """Add a letter. What a bracket parted stays parted, as in AUTOMATIC1111, whose pieces are tokenised apart."""
    if texts and texts[-1].weight == weight:
        before = texts[-1].text
        is_glued = is_joint and not before[-1].isspace() and not letter.isspace()
        texts[-1] = WeightedText(f"{before} {letter}" if is_glued else f"{before}{letter}", weight)
    else:
        texts.append(WeightedText(letter, weight))
