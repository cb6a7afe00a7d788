"""Class words in captions: finding them, singular, telling which one means the person, and the group's word.

The paper (arXiv 2312.04461, 4.1) captions each picture until a class word occurs, singularises it, chooses among
several by dependency parse and CLIP, and gives each group the word of the majority. Called by the caption and mark
stages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from photomaker_core.conditioning.person_words import CLASS_WORDS
from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD

_IRREGULAR: Final = {
    "man": "men",
    "woman": "women",
    "person": "people",
    "gentleman": "gentlemen",
    "child": "children",
    "wife": "wives",
    "hero": "heroes",
    "superhero": "superheroes",
}
_MANY: Final = re.compile(
    r"\b(?:a (?:couple|group|pair|crowd|number) of|two|three|four|five|six|several|some|many|both|these|those)"
    r"(?P<between>(?: [a-z-]+){0,3}? )$",
    re.IGNORECASE,
)
_BREAKS: Final = re.compile(r"\b(?:and|with|next to|beside|behind|near|by|of|for|to|against|while|or)\b|[,;]")
_LEADS_TO_OTHERS: Final = frozenset(
    {"with", "next", "beside", "behind", "near", "by", "for", "to", "against", "and", "or"}
)
_OF: Final = re.compile(
    r"\b(?:photo(?:graph)?|picture|portrait|painting|sketch|drawing|art|image|close-?up|shot|selfie|statue|bust|"
    r"illustration|view|profile)\s+of\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ClassWord:
    """A class word in a caption, at ``start`` to ``end``; ``word`` is its singular, ``phrase`` its noun phrase."""

    word: str
    start: int
    end: int
    phrase: str


def _plural(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    if word.endswith(("s", "ch", "sh", "x")):
        return word + "es"
    return word + "s"


_SINGULAR: Final = {_plural(word): word for word in CLASS_WORDS}
_ANY_WORD: Final = re.compile(rf"\b(?:{'|'.join([*_SINGULAR, *CLASS_WORDS])})\b", re.IGNORECASE)


def singularise(caption: str) -> str:
    """The caption with every class word in the singular: "two men in hats" -> "a man in hats".

    Counting words before it become "a", and an "are" right after it "is"; everything else stays.
    """
    out: list[str] = []
    rest = " ".join(caption.split())
    while (found := _ANY_WORD.search(rest)) is not None:
        before, word, rest = rest[: found.start()], found.group().lower(), rest[found.end() :]
        if word in _SINGULAR:
            word = _SINGULAR[word]
            before = _one_instead_of_many(before, word)
            rest = re.sub(r"^ (?:are|were)\b", " is", rest)
        out += [before, word]
    return "".join([*out, rest])


def _one_instead_of_many(before: str, word: str) -> str:
    return _MANY.sub(lambda match: _article(match["between"].strip() or word) + match["between"], before)


def find_class_words(caption: str) -> list[ClassWord]:
    """All class words of a singular caption in order, each with the noun phrase it heads."""
    found = list(_ANY_WORD.finditer(caption))
    phrases = []
    for index, match in enumerate(found):
        stop = found[index + 1].start() if index + 1 < len(found) else len(caption)
        phrases.append(_phrase(caption, found[index - 1].end() if index else 0, match, stop))
    return [
        ClassWord(_SINGULAR.get(match.group().lower(), match.group().lower()), match.start(), match.end(), phrase)
        for match, phrase in zip(found, phrases, strict=True)
    ]


def subject(caption: str, words: Sequence[ClassWord]) -> int:
    """Which of ``words`` the sentence is about; the rule that stands for a dependency parse.

    The first class word that no preposition or conjunction leads to ("with a *boy*", "next to a *man*", "and a
    *woman*"). "A photo of" leads to the subject. When every word is led to, the first.
    """
    first = 0
    for index, word in enumerate(words):
        breaks = [match.group() for match in _BREAKS.finditer(_OF.sub("", caption[first : word.start]))]
        if not breaks or breaks[-1].split()[0].lower() not in _LEADS_TO_OTHERS:
            return index
        first = word.end
    return 0


def best_by_similarity(region_similarities: Sequence[float], label_similarities: Sequence[float]) -> int:
    """The class word whose noun phrase fits the masked region best, by the paper's product.

    ``argmax_i region_i * label_i`` with ``region_i`` = CLIP(masked region, noun phrase i) and ``label_i`` = the
    similarity of the class word to the mask's label ("person"). Similarities below 0 count as 0; of equal ones the
    first.
    """
    scores = [max(0.0, a) * max(0.0, b) for a, b in zip(region_similarities, label_similarities, strict=True)]
    return max(range(len(scores)), key=lambda index: scores[index])


def majority(words: Sequence[str]) -> str:
    """The most frequent word, of equal ones the one that came first; "" for no words."""
    counted = Counter(word for word in words if word)
    return max(counted, key=lambda word: counted[word], default="")


def with_trigger(caption: str, word: ClassWord, group_word: str, trigger: str = DEFAULT_TRIGGER_WORD) -> str:
    """The caption in which ``word`` reads ``group_word`` and is followed by the trigger word.

    A word "img" that a captioner wrote itself goes, so that the trigger occurs once.
    """
    before, after = caption[: word.start], caption[word.end :]
    stray = re.compile(rf"(?<!\w){re.escape(trigger)}(?!\w)", re.IGNORECASE)
    before = re.sub(r"\b(an?) $", f"{_article(group_word)} ", stray.sub("", before))
    return " ".join(f"{before}{group_word} {trigger}{stray.sub('', after)}".split())


def _phrase(caption: str, first: int, word: re.Match[str], stop: int) -> str:
    """The noun phrase around ``word``: from the last break before it, to the break that leads to the next person."""
    before = caption[first : word.start()]
    breaks = list(_BREAKS.finditer(_OF.sub(lambda match: " " * len(match.group()), before)))
    start = first + (breaks[-1].end() if breaks else 0)
    after = caption[word.end() : stop]
    if stop < len(caption):
        leads = [match for match in _BREAKS.finditer(after) if match.group().split()[0] in _LEADS_TO_OTHERS]
        after = after[: leads[-1].start()] if leads else after
    opening = _OF.split(caption[start : word.start()])[-1]
    return f"{opening}{word.group()}{after}".strip(" ,;")


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" else "a"
