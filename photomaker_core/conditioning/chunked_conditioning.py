"""Conditioning in chunks: prompts that 77 tokens cannot hold, that have weights, or that name several people.

Called by the conditioning of a request (:mod:`photomaker_core.conditioning.stacking`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from photomaker_core.conditioning.person_spans import PersonSpan
from photomaker_core.conditioning.prompt_chunks import (
    PromptLayout,
    PromptPart,
    Word,
    lay_out,
    prompt_parts,
    read_words,
    spelled_by,
)
from photomaker_core.conditioning.prompt_weights import WeightedText, weigh
from photomaker_core.errors import PromptError
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders

_Layouts = tuple[PromptLayout, PromptLayout]


@dataclass(frozen=True, slots=True)
class IdentifiedPrompt:
    """A prompt with its people's identities merged in, and without."""

    plain: TextEmbedding
    merged: TextEmbedding
    people: tuple[PersonSpan, ...]
    photos_used: tuple[int, ...]
    dropped_text: str


def in_chunks(text: TextEncoders, texts: Sequence[WeightedText], max_chunks: int) -> tuple[TextEmbedding, str]:
    """A prompt without people as embeddings, and the end of it that they do not hold."""
    layouts = _layouts(text, _words(text, prompt_parts(texts)), [], max_chunks)
    return _weighted(text, _joined(text, layouts), layouts), text.tokenizers[0].text(layouts[0].dropped)


def identified_in_chunks(
    text: TextEncoders,
    id_encoder: IdEncoder,
    texts: Sequence[WeightedText],
    class_words: Sequence[str],
    trigger_word: str,
    stacks: Sequence[Tensor],
    max_chunks: int,
) -> IdentifiedPrompt:
    """Give each person's span of the prompt their stack of ID features, with as many photos as find room.

    Raises :class:`PromptError` where there is no room for everybody, or a trigger has no word before it.
    """
    parts = prompt_parts(texts, trigger_word)
    if sum(part.names_person for part in parts) != len(stacks):
        raise PromptError("The trigger word “{trigger}” must follow the word for the person.", trigger=trigger_word)
    layouts, photos = _with_room(text, parts, trigger_word, stacks, max_chunks)
    spelled = spelled_by(text.tokenizers[0], parts)
    spoken = _layouts(text, _words(text, spelled), [1] * len(stacks), max_chunks)
    merged = _joined(text, layouts)
    tokens = merged.tokens
    people = []
    for word, stack, count, places, spoken_places in zip(
        class_words, stacks, photos, layouts[0].id_places, spoken[0].class_words, strict=True
    ):
        if places is None or spoken_places is None:
            raise _no_room(text, trigger_word, max_chunks)
        features = stack[torch.arange(count) * len(stack) // count].flatten(0, 1)
        with torch.no_grad():
            tokens = id_encoder.fuse(tokens, places, features.to(tokens))
        people.append(PersonSpan(word, places, spoken_places))
    return IdentifiedPrompt(
        plain=_weighted(text, _joined(text, spoken), spoken),
        merged=_weighted(text, TextEmbedding(tokens, merged.pooled), layouts),
        people=tuple(people),
        photos_used=photos,
        dropped_text=text.tokenizers[0].text(layouts[0].dropped),
    )


def _with_room(
    text: TextEncoders, parts: Sequence[PromptPart], trigger_word: str, stacks: Sequence[Tensor], max_chunks: int
) -> tuple[_Layouts, tuple[int, ...]]:
    """The layouts with the most photos of each person beside which all words fit, or else all people.

    Raises :class:`PromptError` where one photo of each person is too much.
    """
    words = _words(text, parts)
    with_everybody: tuple[_Layouts, tuple[int, ...]] | None = None
    for most in range(max(len(stack) for stack in stacks), 0, -1):
        photos = tuple(min(len(stack), most) for stack in stacks)
        counts = [count * stack.shape[1] for count, stack in zip(photos, stacks, strict=True)]
        first, second = _layouts(text, words, counts, max_chunks)
        if None in first.id_places or None in second.id_places:
            continue
        if first.id_places != second.id_places:
            raise disagreement(trigger_word)
        with_everybody = with_everybody or ((first, second), photos)
        if not first.dropped:
            return (first, second), photos
    if with_everybody is None:
        raise _no_room(text, trigger_word, max_chunks)
    return with_everybody


def disagreement(trigger_word: str) -> PromptError:
    return PromptError("The two tokenizers disagree on where “{trigger}” stands in this prompt.", trigger=trigger_word)


def _no_room(text: TextEncoders, trigger_word: str, max_chunks: int) -> PromptError:
    return PromptError(
        "The word before “{trigger}” comes too late: it and the ID tokens that replace it must lie within the first "
        "{limit} tokens. Move the person nearer to the beginning.",
        trigger=trigger_word,
        limit=max_chunks * (text.tokenizers[0].length - 2),
    )


def _words(text: TextEncoders, parts: Sequence[PromptPart]) -> list[list[Word]]:
    return [read_words(tokenizer, parts) for tokenizer in text.tokenizers]


def _layouts(text: TextEncoders, words: Sequence[Sequence[Word]], counts: Sequence[int], max_chunks: int) -> _Layouts:
    first, second = (
        lay_out(tokenizer, read, counts, max_chunks) for tokenizer, read in zip(text.tokenizers, words, strict=True)
    )
    return first, second


def _joined(text: TextEncoders, layouts: _Layouts) -> TextEmbedding:
    """Both encoders' chunks embedded; the encoder with fewer gets empty ones behind them."""
    most = max(len(layout.chunks) for layout in layouts)
    first, second = (
        [*layout.chunks, *([tokenizer.framed([])] * (most - len(layout.chunks)))]
        for layout, tokenizer in zip(layouts, text.tokenizers, strict=True)
    )
    return text.encode_chunks(first, second)


def _weighted(text: TextEncoders, embedding: TextEmbedding, layouts: _Layouts) -> TextEmbedding:
    if all(weight == 1 for layout in layouts for weight in layout.weights):
        return embedding
    length = embedding.tokens.shape[1]
    of_each = [
        torch.tensor([*layout.weights, *([1.0] * (length - len(layout.weights)))]).unsqueeze(-1).expand(-1, width)
        for layout, width in zip(layouts, text.widths, strict=True)
    ]
    weights = torch.cat(of_each, dim=-1).unsqueeze(0).to(embedding.tokens)
    empty = text.encode("").tokens
    repeated = empty.repeat(1, length // empty.shape[1], 1)
    return TextEmbedding(weigh(embedding.tokens, repeated, weights), embedding.pooled)
