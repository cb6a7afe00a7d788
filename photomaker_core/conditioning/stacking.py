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
from photomaker_core.conditioning.prompt_tokens import (
    IdentityPrompt,
    identity_prompt,
    place_trigger,
    text_only_prompt,
    unseen_text,
)
from photomaker_core.errors import PromptError
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.lora_layers import LoraWeights
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders

MAX_MERGE_STEP: Final = 30


@dataclass(frozen=True, slots=True)
class Conditioning:
    """The embeddings of one request. ``merged`` is ``text`` in a text-only picture.

    ``dropped_text`` is the end of the prompt that did not fit beside the ID tokens; ``text_loras`` those that were
    active in each text encoder. ``people`` are those with ID features, in the prompt's order.
    """

    text: TextEmbedding
    merged: TextEmbedding
    negative: TextEmbedding
    dropped_text: str = ""
    text_loras: tuple[LoraWeights, ...] = ()
    people: tuple[PersonSpan, ...] = ()

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
        raise PromptError(
            "The two tokenizers disagree on where “{trigger}” stands in this prompt.", trigger=trigger_word
        )
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
    id_features: Tensor | None,
    *,
    zeros_for_empty_negative: bool,
) -> Conditioning:
    """Build the conditioning of one request; ``id_features`` is [N, T, D], or ``None`` for text alone.

    Raises :class:`PromptError` where there are features and the prompt has no person to put them to.
    """
    if id_features is None:
        plain = text.encode(prompt)
        negative = _negative(text, negative_prompt, plain, zeros_for_empty_negative)
        dropped_text = unseen_text(text.tokenizers[0], prompt)
        return Conditioning(plain, plain, negative, dropped_text, text.effective_loras)
    if id_encoder is None:
        raise ValueError("ID features were given, but no PhotoMaker adapter is loaded")
    prompt = place_trigger(prompt, trigger_word).text
    stacked = stack_identity(text, id_encoder, prompt, trigger_word, id_features)
    plain = text.encode(text_only_prompt(text.tokenizers[0], prompt, trigger_word))
    return Conditioning(
        text=plain,
        merged=stacked.merged,
        negative=_negative(text, negative_prompt, plain, zeros_for_empty_negative),
        dropped_text=stacked.prompts[0].dropped_text,
        text_loras=text.effective_loras,
    )


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


def _negative(text: TextEncoders, prompt: str | None, like: TextEmbedding, zeros_when_none: bool) -> TextEmbedding:
    if prompt is None and zeros_when_none:
        return like.zeros_like()
    return text.encode(prompt or "")
