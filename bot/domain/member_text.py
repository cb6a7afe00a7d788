"""Text that members type: one normal form, one way of comparing it, one way of showing it in a message.

Names, prompts, words and reasons pass :func:`cleaned` (or :func:`cleaned_lines`) where they enter, and one of
:func:`escaped`, :func:`quoted`, :func:`block_quote` or :func:`code_span` where a message shows them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

import discord

_FIRST_STRONG_ISOLATE: Final = "\u2068"
_POP_ISOLATE: Final = "\u2069"
_JOINERS: Final = "\u200c\u200d"
_SELECTORS: Final = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_BLANKS: Final = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0"
"""Characters of other categories than spaces that show nothing: grapheme joiner, fillers, the empty Braille cell."""
_INVISIBLE: Final = re.compile(f"[{_JOINERS}{_SELECTORS}{_BLANKS}]")
_FORMATS: Final = {"Cc", "Cf", "Co", "Cs"}
_JOINED: Final = {"Lo", "Mc", "Mn", "Sk", "So"}
"""Categories between which a joiner changes what is seen: emoji, and scripts whose letters join."""
_SELECTED: Final = {"Lo", "Nd", "Po", "Sm", "So"}
_RIGHT_TO_LEFT: Final = {"R", "AL", "AN"}
_SIMILAR: Final = str.maketrans(
    dict(zip("авеіјкмнорсԛѕтухһԁԝοαεικρτυχν", "abeijkmhopcqstyxhdwoaeikptuxv", strict=True))
)
"""Small Cyrillic and Greek letters, and the Latin ones that they are taken for."""

_CUT: Final = "> …"
_LINK: Final = re.compile(r"<?(\b[a-z][a-z0-9+.-]*://[^\s<>]+)>?", re.IGNORECASE)
_INVITE: Final = re.compile(r"(\bdiscord(?:app)?\.(?:gg|com|me|new))/", re.IGNORECASE)
_MARKDOWN: Final = re.compile(r"[\\*_~`|\[\]<]")
_AT_THE_START: Final = re.compile(r"(\d*)(?=\.\s|[>#]|-[#\s])")
"""The place before what begins a quote, a heading or a list."""


def cleaned(text: str) -> str:
    """The normal form (NFC) of a text in one line, without characters that show nothing or turn their neighbours.

    What is left out brings others together, which may compose, or show nothing in their new place.
    """
    while (normal := " ".join(_visible(unicodedata.normalize("NFC", text)).split())) != text:
        text = normal
    return text


def cleaned_lines(text: str) -> list[str]:
    """The lines of a text, each in its normal form; empty ones are left out."""
    return [line for line in map(cleaned, text.splitlines()) if line]


def has_hidden_characters(text: str) -> bool:
    """True for a text with control characters or blanks that :func:`cleaned` removes, line breaks and joiners aside."""
    normal = unicodedata.normalize("NFC", text)
    return any(
        (unicodedata.category(one) in _FORMATS and one not in _JOINERS and not one.isspace())
        or re.match(f"[{_BLANKS}]", one) is not None
        for one in normal
    )


def folded(text: str) -> str:
    """A text as blocked words are compared.

    Letter case, spelling with combining marks, full-width and other compatible forms, invisible characters and
    Cyrillic or Greek letters that look like Latin ones make no difference.
    """
    compatible = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    shown = "".join(one for one in compatible if one.isspace() or unicodedata.category(one) not in _FORMATS)
    return " ".join(_INVISIBLE.sub("", shown).translate(_SIMILAR).split())


def foldings(text: str) -> set[str]:
    """The ways in which a text can be compared: a character that shows nothing counts as nothing, or as a space."""
    return {folded(text), folded(_INVISIBLE.sub(" ", _spaced(text)))}


def first_word_in(words: Iterable[str], texts: Sequence[str]) -> str | None:
    """The first of the words or phrases that occurs whole in any of the texts, as :func:`folded` compares them.

    A character that shows nothing can be put within a word and between two.
    """
    forms = {form for text in texts for form in foldings(text)}
    for word in words:
        pattern = re.compile(rf"(?<!\w){re.escape(folded(word))}(?!\w)")
        if folded(word) and any(pattern.search(form) for form in forms):
            return word
    return None


def escaped(text: str) -> str:
    """A text for a message, in one line: no markdown, mentions or previews of links come of it.

    Text with right-to-left letters is isolated, so that it does not turn what stands beside it.
    """
    line = cleaned(text)
    shown = _harmless(line)
    if any(unicodedata.bidirectional(one) in _RIGHT_TO_LEFT for one in line):
        return f"{_FIRST_STRONG_ISOLATE}{shown}{_POP_ISOLATE}"
    return shown


def bold(text: str) -> str:
    """A text for a message as :func:`escaped` makes it, in bold, and isolated in any script."""
    return f"{_FIRST_STRONG_ISOLATE}**{_harmless(cleaned(text)) or '…'}**{_POP_ISOLATE}"


def quoted(text: str, limit: int) -> str:
    """A text for a message as :func:`escaped` makes it, in at most ``limit`` characters."""
    text = cleaned(text)
    shown = escaped(text)
    while len(shown) > limit:
        text = text[: len(text) - max(1, (len(shown) - limit) // 2)]
        shown = f"{escaped(text)}…"
    return shown


def block_quote(text: str, limit: int) -> str:
    """A text of several lines as a quote, every line marked as one, in at most ``limit`` characters."""
    lines = [f"> {quoted(line, limit - len(_CUT))}" for line in cleaned_lines(text)]
    whole = "\n".join(lines)
    while len(whole) > limit:
        lines.pop()
        whole = "\n".join([*lines, _CUT])
    return whole or _CUT


def code_span(text: str) -> str:
    """A text of one line to be copied, as code. A fence is chosen that the text does not hold."""
    line = " ".join(text.split())
    runs = {len(run) for run in re.findall("`+", line)}
    if not runs:
        return f"`{line}`"
    fences = [length for length in (1, 2) if length not in runs]
    if not fences:
        return escaped(line)
    fence = "`" * fences[0]
    return f"{fence} {line} {fence}"


def _visible(text: str) -> str:
    """Without control characters; joiners and variation selectors stay where they change what is seen."""
    kept: list[str] = []
    for index, one in enumerate(text):
        category = unicodedata.category(one)
        before = unicodedata.category(text[index - 1]) if index else ""
        after = unicodedata.category(text[index + 1]) if index + 1 < len(text) else ""
        if one in _JOINERS:
            stays = before in _JOINED and after in _JOINED
        elif re.match(f"[{_SELECTORS}]", one):
            stays = before in _SELECTED
        else:
            stays = one.isspace() or (category not in _FORMATS and _INVISIBLE.match(one) is None)
        if stays:
            kept.append(one)
    return "".join(kept)


def _spaced(text: str) -> str:
    """The text with a space for each character of a kind that shows nothing."""
    return "".join(" " if unicodedata.category(one) in _FORMATS else one for one in text)


def _harmless(line: str) -> str:
    """Links between angle brackets, where Discord shows no preview, and the rest escaped."""
    parts: list[str] = []
    end = 0
    for link in _LINK.finditer(line):
        parts += [_plain(line[end : link.start()]), f"<{link[1]}>"]
        end = link.end()
    whole = "".join([*parts, _plain(line[end:])])
    start = _AT_THE_START.match(whole)
    return whole if start is None else f"{start[1]}\\{whole[start.end() :]}"


def _plain(text: str) -> str:
    """Escape what Discord takes for markdown, a mention or an invitation."""
    escaped_text = _MARKDOWN.sub(lambda match: f"\\{match[0]}", text)
    return _INVITE.sub(r"\1\\/", discord.utils.escape_mentions(escaped_text))
