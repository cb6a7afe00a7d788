"""Conditioning: a prompt and ID features become the embeddings that the UNet is given.

Follows PhotoMaker (arXiv 2312.04461) with its delayed subject conditioning: the text-only embeddings for
the first steps, the ID-merged ones after the merge step. Called by the engine, once per request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from photomaker_core.conditioning.chunked_conditioning import (
    IdentifiedPrompt,
    disagreement,
    identified_in_chunks,
    in_chunks,
)
from photomaker_core.conditioning.person_spans import PersonSpan
from photomaker_core.conditioning.prompt_tokens import (
    IdentityPrompt,
    identity_prompt,
    one_chunk_holds,
    text_only_prompt,
    unseen_text,
)
from photomaker_core.conditioning.prompt_weights import WeightedText, weighted_texts
from photomaker_core.conditioning.trigger_placement import place_triggers, trigger_pattern
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.lora_layers import LoraWeights
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders
from photomaker_core.presets.prompt_length import DEFAULT_MAX_CHUNKS

MAX_MERGE_STEP: Final = 30


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
        raise disagreement(trigger_word)
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
        negative, unread = _negative(text, negative_prompt, plain, zeros_for_empty_negative, max_chunks)
        return Conditioning(plain, plain, negative, dropped_text or unread, text.effective_loras)
    if id_encoder is None:
        raise ValueError("ID features were given, but no PhotoMaker adapter is loaded")
    placed = place_triggers(prompt, trigger_word, len(stacks))
    prompt, class_words = placed.text, placed.class_words
    texts = weighted_texts(prompt)
    if _reads_as_the_reference(text, prompt, texts, trigger_word, stacks, max_chunks):
        found = _as_the_reference(text, id_encoder, prompt, class_words[0], trigger_word, stacks[0])
    else:
        found = identified_in_chunks(text, id_encoder, texts, class_words, trigger_word, stacks, max_chunks)
    negative, unread = _negative(text, negative_prompt, found.plain, zeros_for_empty_negative, max_chunks)
    return Conditioning(
        text=found.plain,
        merged=found.merged,
        negative=negative,
        dropped_text=found.dropped_text or unread,
        text_loras=text.effective_loras,
        people=found.people,
        photos_used=found.photos_used,
    )


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
) -> IdentifiedPrompt:
    stacked = stack_identity(text, id_encoder, prompt, trigger_word, stack)
    first = text.tokenizers[0]
    until = first.ids(first.text(first.ids(trigger_pattern(trigger_word).split(prompt)[0])))
    end = 1 + len(until)
    span = PersonSpan(class_word, stacked.prompts[0].class_tokens, range(end - len(first.words(until)[-1]), end))
    plain = text.encode(text_only_prompt(first, prompt, trigger_word))
    return IdentifiedPrompt(plain, stacked.merged, (span,), (len(stack),), stacked.prompts[0].dropped_text)


def _plain(text: TextEncoders, prompt: str, max_chunks: int) -> tuple[TextEmbedding, str]:
    """A prompt without people as embeddings, and the end of it that they do not hold."""
    texts = weighted_texts(prompt)
    if texts == (WeightedText(prompt),):
        unseen = [unseen_text(tokenizer, prompt) for tokenizer in text.tokenizers]
        if max_chunks == 1 or not any(unseen):
            return text.encode(prompt), unseen[0]
    return in_chunks(text, texts, max_chunks)


def _negative(
    text: TextEncoders, prompt: str | None, like: TextEmbedding, zeros_when_none: bool, max_chunks: int
) -> tuple[TextEmbedding, str]:
    """The negative prompt's embedding, and the end of it that is not read."""
    if prompt is None and zeros_when_none:
        return like.zeros_like(), ""
    return _plain(text, prompt or "", max_chunks)
