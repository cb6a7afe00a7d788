"""Conditioning: a prompt and ID features become the embeddings that the UNet is given.

Follows PhotoMaker (arXiv 2312.04461) with its delayed subject conditioning: the text-only embeddings for
the first steps, the ID-merged ones after the merge step. Called by the engine, once per request.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from photomaker_core.conditioning.person_spans import PersonSpan
from photomaker_core.conditioning.prompt_chunks import (
    DEFAULT_MAX_CHUNKS,
    PromptLayout,
    PromptPart,
    Word,
    lay_out,
    prompt_parts,
    read_words,
    spelled_by,
)
from photomaker_core.conditioning.prompt_tokens import (
    IdentityPrompt,
    identity_prompt,
    one_chunk_holds,
    place_triggers,
    text_only_prompt,
    trigger_pattern,
    unseen_text,
)
from photomaker_core.conditioning.prompt_weights import WeightedText, weigh, weighted_texts
from photomaker_core.errors import PromptError
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.lora_layers import LoraWeights
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders

MAX_MERGE_STEP: Final = 30

_Layouts = tuple[PromptLayout, PromptLayout]


@dataclass(frozen=True, slots=True)
class Conditioning:
    """The embeddings of one request. ``merged`` is ``text`` in a text-only picture.

    Their tokens are [1, L, D], each branch with a length L of its own. ``dropped_text`` is the end of the prompt that
    did not fit beside the ID tokens; ``text_loras`` those that were active in each text encoder. ``people`` says where
    each person stands, ``photos_used`` how many photos of each found room.
    """

    text: TextEmbedding
    merged: TextEmbedding
    negative: TextEmbedding
    dropped_text: str = ""
    text_loras: tuple[LoraWeights, ...] = ()
    people: tuple[PersonSpan, ...] = ()
    photos_used: tuple[int, ...] = ()

    def at_step(self, step: int, start_merge_step: int) -> TextEmbedding:
        """The positive branch's embeddings at denoising step ``step``, counted from 0."""
        return self.text if step <= start_merge_step else self.merged


@dataclass(frozen=True, slots=True)
class StackedIdentity:
    """The identity part of a conditioning, with what went into it; parity checks look inside."""

    prompts: tuple[IdentityPrompt, IdentityPrompt]
    before_fusing: TextEmbedding
    merged: TextEmbedding


def merge_step(style_strength_ratio: float, steps: int) -> int:
    """The step up to which the text alone conditions; the ratio is in percent (reference: 20)."""
    return min(int(style_strength_ratio / 100 * steps), MAX_MERGE_STEP)


def stack_identity(
    text: TextEncoders, id_encoder: IdEncoder, prompt: str, trigger_word: str, id_features: Tensor
) -> StackedIdentity:
    """Put ``id_features`` [N, T, D] in the place of the prompt's class word.

    Raises :class:`PromptError` when the prompt has no usable trigger or no room for the features.
    """
    features = id_features.flatten(0, 1)
    first, second = (identity_prompt(tokenizer, prompt, trigger_word, len(features)) for tokenizer in text.tokenizers)
    if first.class_tokens != second.class_tokens:
        raise _disagreement(trigger_word)
    with torch.no_grad():
        embedding = text.encode_ids(torch.tensor([first.input_ids]), torch.tensor([second.input_ids]))
        fused = id_encoder.fuse(embedding.tokens, second.class_tokens, features.to(embedding.tokens))
    return StackedIdentity((first, second), embedding, TextEmbedding(fused, embedding.pooled))


def condition(
    text: TextEncoders,
    id_encoder: IdEncoder | None,
    prompt: str,
    negative_prompt: str | None,
    trigger_word: str,
    id_features: Tensor | Sequence[Tensor] | None,
    *,
    zeros_for_empty_negative: bool,
    max_chunks: int = DEFAULT_MAX_CHUNKS,
) -> Conditioning:
    """Build the conditioning of one request.

    ``id_features`` is a stack [N, T, D], several of them in the order of the prompt's triggers, or ``None`` for text
    alone. Prompts that fit 77 tokens, about one person and without weights, are read as the reference reads them.

    Raises :class:`PromptError` where there are features and the prompt has no person to put them to, or not as many
    people as stacks, and for a weight out of range.
    """
    stacks = [id_features] if isinstance(id_features, Tensor) else list(id_features or ())
    if not stacks:
        plain, dropped_text = _plain(text, prompt, max_chunks)
        negative = _negative(text, negative_prompt, plain, zeros_for_empty_negative, max_chunks)
        return Conditioning(plain, plain, negative, dropped_text, text.effective_loras)
    if id_encoder is None:
        raise ValueError("ID features were given, but no PhotoMaker adapter is loaded")
    prompt, class_words = place_triggers(prompt, trigger_word, len(stacks))
    texts = weighted_texts(prompt)
    if _reads_as_the_reference(text, prompt, texts, trigger_word, stacks, max_chunks):
        found = _as_the_reference(text, id_encoder, prompt, class_words[0], trigger_word, stacks[0])
    else:
        found = _in_chunks(text, id_encoder, texts, class_words, trigger_word, stacks, max_chunks)
    return Conditioning(
        text=found.plain,
        merged=found.merged,
        negative=_negative(text, negative_prompt, found.plain, zeros_for_empty_negative, max_chunks),
        dropped_text=found.dropped_text,
        text_loras=text.effective_loras,
        people=found.people,
        photos_used=found.photos_used,
    )


@dataclass(frozen=True, slots=True)
class _Identified:
    """A prompt with its people's identities merged in, and without."""

    plain: TextEmbedding
    merged: TextEmbedding
    people: tuple[PersonSpan, ...]
    photos_used: tuple[int, ...]
    dropped_text: str


def _reads_as_the_reference(
    text: TextEncoders,
    prompt: str,
    texts: Sequence[WeightedText],
    trigger_word: str,
    stacks: Sequence[Tensor],
    max_chunks: int,
) -> bool:
    if len(stacks) > 1 or texts != (WeightedText(prompt),):
        return False
    count = stacks[0].shape[0] * stacks[0].shape[1]
    return max_chunks == 1 or all(one_chunk_holds(one, prompt, trigger_word, count) for one in text.tokenizers)


def _as_the_reference(
    text: TextEncoders, id_encoder: IdEncoder, prompt: str, class_word: str, trigger_word: str, stack: Tensor
) -> _Identified:
    stacked = stack_identity(text, id_encoder, prompt, trigger_word, stack)
    first = text.tokenizers[0]
    until = first.ids(first.text(first.ids(trigger_pattern(trigger_word).split(prompt)[0])))
    end = 1 + len(until)
    span = PersonSpan(class_word, stacked.prompts[0].class_tokens, range(end - len(first.words(until)[-1]), end))
    plain = text.encode(text_only_prompt(first, prompt, trigger_word))
    return _Identified(plain, stacked.merged, (span,), (len(stack),), stacked.prompts[0].dropped_text)


def _in_chunks(
    text: TextEncoders,
    id_encoder: IdEncoder,
    texts: Sequence[WeightedText],
    class_words: Sequence[str],
    trigger_word: str,
    stacks: Sequence[Tensor],
    max_chunks: int,
) -> _Identified:
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
    return _Identified(
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
            raise _disagreement(trigger_word)
        with_everybody = with_everybody or ((first, second), photos)
        if not first.dropped:
            return (first, second), photos
    if with_everybody is None:
        raise _no_room(text, trigger_word, max_chunks)
    return with_everybody


def _disagreement(trigger_word: str) -> PromptError:
    return PromptError("The two tokenizers disagree on where “{trigger}” stands in this prompt.", trigger=trigger_word)


def _no_room(text: TextEncoders, trigger_word: str, max_chunks: int) -> PromptError:
    return PromptError(
        "The word before “{trigger}” comes too late: it and the ID tokens that replace it must lie within the first "
        "{limit} tokens. Move the person nearer to the beginning.",
        trigger=trigger_word,
        limit=max_chunks * (text.tokenizers[0].length - 2),
    )


def _plain(text: TextEncoders, prompt: str, max_chunks: int) -> tuple[TextEmbedding, str]:
    """A prompt without people as embeddings, and the end of it that they do not hold."""
    texts = weighted_texts(prompt)
    if texts == (WeightedText(prompt),):
        unseen = [unseen_text(tokenizer, prompt) for tokenizer in text.tokenizers]
        if max_chunks == 1 or not any(unseen):
            return text.encode(prompt), unseen[0]
    layouts = _layouts(text, _words(text, prompt_parts(texts)), [], max_chunks)
    return _weighted(text, _joined(text, layouts), layouts), text.tokenizers[0].text(layouts[0].dropped)


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


def blend_stacks(stacks: Sequence[Tensor], weights: Sequence[float], max_photos: int) -> Tensor:
    """Mix several people's features ([N_i, T, D] each) into one stack of at most ``max_photos`` photos.

    A person's share of the stack is their weight (PhotoMaker, identity mixing); each person with a weight
    above zero keeps at least one place, and few photos are repeated to fill a large share. A person
    alone keeps their own stack. Raises :class:`ValueError` when no weight is above zero or one is infinite.
    """
    if not all(math.isfinite(weight) for weight in weights):
        raise ValueError("every weight must be a finite number")
    wanted = [(stack, weight) for stack, weight in zip(stacks, weights, strict=True) if weight > 0]
    if not wanted:
        raise ValueError("at least one weight must be above zero")
    if len(wanted) == 1:
        return wanted[0][0]
    total = sum(weight for _, weight in wanted)
    places = _apportion([weight / total for _, weight in wanted], max(max_photos, len(wanted)))
    chosen = [
        stack[torch.arange(count) % len(stack)] for (stack, _), count in zip(wanted, places, strict=True) if count
    ]
    return torch.cat(chosen)


def _apportion(shares: list[float], places: int) -> list[int]:
    """Split ``places`` into integers that sum to it: at least one each, the rest by largest remainder."""
    ideal = [share * places for share in shares]
    counts = [max(1, int(value)) for value in ideal]
    while sum(counts) > places:
        counts[counts.index(max(counts))] -= 1
    by_need = sorted(range(len(shares)), key=lambda index: counts[index] - ideal[index])
    for index in by_need[: places - sum(counts)]:
        counts[index] += 1
    return counts


def _negative(
    text: TextEncoders, prompt: str | None, like: TextEmbedding, zeros_when_none: bool, max_chunks: int
) -> TextEmbedding:
    if prompt is None and zeros_when_none:
        return like.zeros_like()
    return _plain(text, prompt or "", max_chunks)[0]
