"""Where a person stands in the prompt's embeddings; what masks cross-attention by region reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PersonSpan:
    """A person's positions along the length L of the embeddings of one request.

    ``merged`` are the places of the stacked ID embedding in the merged embeddings; ``text`` those of the tokens of
    ``class_word`` in the text-only ones.
    """

    class_word: str
    merged: range
    text: range
