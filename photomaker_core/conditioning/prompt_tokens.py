"""A prompt with a trigger word as token ids, with room for the ID features.

The semantics are those of PhotoMaker (arXiv 2312.04461, section 3.2, and its reference code): the
class word before the trigger is repeated once per ID token, and those places are later replaced by the
stacked ID embedding. Called by the conditioning and by training.

The reference makes the trigger a token of the tokenizers. Here it is found in the text and never becomes an id, so that
no spelling of it, typed anywhere, can reach an encoder that has no embedding for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from photomaker_core.conditioning.trigger_placement import trigger_pattern
from photomaker_core.errors import PromptError
from photomaker_core.models.prompt_tokenizer import PromptTokenizer


@dataclass(frozen=True, slots=True)
class IdentityPrompt:
    """One tokenizer's view of a prompt whose class word makes room for the ID tokens.

    ``input_ids`` has the tokenizer's ``length`` entries; those in ``class_tokens`` belong to the stacked ID
    embedding. ``dropped_text`` is what did not fit and is not seen by the model.
    """

    input_ids: list[int]
    class_tokens: range
    dropped_text: str


def identity_prompt(tokenizer: PromptTokenizer, prompt: str, trigger_word: str, id_token_count: int) -> IdentityPrompt:
    """Expand the class token to ``id_token_count`` places and fit the ids to the tokenizer's length.

    The prompt is truncated to the tokenizer's length first, with the trigger as one token, then expanded, then cut or
    padded, as the reference does. Raises :class:`PromptError` when the trigger is missing or misplaced, or when the
    expansion itself runs past the end.
    """
    parts = trigger_pattern(trigger_word).split(prompt)
    most = tokenizer.length - 2
    before = tokenizer.ids(parts[0])
    if len(parts) != 2 or len(before) >= most:
        raise PromptError(
            "The prompt must hold the trigger word “{trigger}” exactly once within its first {limit} tokens; "
            "it was found {count} times.",
            trigger=trigger_word,
            limit=most,
            count=len(parts) - 1 if len(before) < most else 0,
        )
    if not before:
        raise PromptError("The trigger word “{trigger}” must follow the word for the person.", trigger=trigger_word)
    words = [*before, *tokenizer.ids(parts[1])]
    class_tokens = range(len(before), len(before) + id_token_count)
    if class_tokens.stop > tokenizer.length:
        raise PromptError(
            "The word before “{trigger}” comes too late: it and the {count} ID tokens that replace it must lie "
            "within the first {limit} tokens. Move the person nearer to the beginning.",
            trigger=trigger_word,
            count=id_token_count,
            limit=tokenizer.length,
        )
    kept = words[: most - 1]
    expanded = tokenizer.framed(kept)[: len(kept) + 2]
    expanded[class_tokens.start : class_tokens.start + 1] = [before[-1]] * id_token_count
    seen = min(len(kept), tokenizer.length - id_token_count)
    return IdentityPrompt(tokenizer.padded(expanded), class_tokens, tokenizer.text(words[seen:]))


def one_chunk_holds(tokenizer: PromptTokenizer, prompt: str, trigger_word: str, id_token_count: int) -> bool:
    """True where :func:`identity_prompt` drops nothing of a prompt with one trigger."""
    words = sum(len(tokenizer.ids(part)) for part in trigger_pattern(trigger_word).split(prompt))
    return words <= min(tokenizer.length - 3, tokenizer.length - id_token_count)


def text_only_prompt(tokenizer: PromptTokenizer, prompt: str, trigger_word: str) -> str:
    """The prompt without its trigger, as the first tokenizer spells it."""
    return tokenizer.text(
        [token for part in trigger_pattern(trigger_word).split(prompt) for token in tokenizer.ids(part)]
    )


def unseen_text(tokenizer: PromptTokenizer, prompt: str) -> str:
    """The end of a plain prompt that does not fit the tokenizer's length."""
    return tokenizer.text(tokenizer.ids(prompt)[tokenizer.length - 2 :])
