"""Prompts with a trigger word: finding the class word, and making room for the ID features.

The semantics are those of PhotoMaker (arXiv 2312.04461, section 3.2, and its reference code): the
class word before the trigger is repeated once per ID token, and those places are later replaced by the
stacked ID embedding. Called by the conditioning, and by the bot to check what a member typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from transformers import AddedToken, PreTrainedTokenizerBase

from photomaker_core.errors import PromptError

DEFAULT_TRIGGER_WORD: Final = "img"
CLASS_WORDS: Final = (
    "man", "woman", "boy", "girl", "person", "lady", "guy", "gentleman", "child", "kid", "baby", "toddler",
    "teenager", "male", "female", "king", "queen", "prince", "princess", "actor", "actress", "father",
    "mother", "grandfather", "grandmother", "grandpa", "grandma", "dad", "mom", "son", "daughter", "brother",
    "sister", "husband", "wife", "bride", "groom", "student", "teacher", "doctor", "nurse", "soldier",
    "knight", "wizard", "witch", "pirate", "astronaut", "chef", "hero", "superhero",
)  # fmt: skip

_CLASS_WORD_PATTERN: Final = re.compile(rf"\b({'|'.join(CLASS_WORDS)})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TriggeredPrompt:
    """A prompt that holds exactly one trigger word behind its class word."""

    text: str
    trigger_inserted: bool


@dataclass(frozen=True, slots=True)
class IdentityPrompt:
    """One tokenizer's view of a prompt whose class word makes room for the ID tokens.

    ``input_ids`` has ``model_max_length`` entries; those in ``class_tokens`` belong to the stacked ID
    embedding. ``dropped_text`` is what did not fit and is not seen by the model.
    """

    input_ids: list[int]
    class_tokens: range
    dropped_text: str


def place_trigger(prompt: str, trigger_word: str = DEFAULT_TRIGGER_WORD) -> TriggeredPrompt:
    """Check that the prompt names a person by ``class word + trigger``, inserting a missing trigger.

    Raises :class:`PromptError` for an empty prompt, several triggers, a trigger with no word before it,
    and a prompt that has neither a trigger nor a known class word.
    """
    text = " ".join(prompt.split())
    if not text:
        raise PromptError("The prompt is empty. Try: a man {trigger} in a red hat", trigger=trigger_word)
    found = list(_word(trigger_word).finditer(text))
    if len(found) > 1:
        raise PromptError(
            "The prompt has the trigger word “{trigger}” {count} times. "
            "Use it once, right after the word for the person.",
            trigger=trigger_word,
            count=len(found),
        )
    if found:
        if not re.search(r"\w\W{0,2}$", text[: found[0].start()]):
            raise PromptError(
                "The trigger word “{trigger}” needs a word for the person before it, "
                "as in: a woman {trigger} at the beach",
                trigger=trigger_word,
            )
        return TriggeredPrompt(text, trigger_inserted=False)
    class_word = _CLASS_WORD_PATTERN.search(text)
    if class_word is None:
        raise PromptError(
            "The prompt does not say who is in the picture. Write a word for the person followed by "
            "“{trigger}”, as in: a man {trigger} in a red hat",
            trigger=trigger_word,
        )
    end = class_word.end()
    return TriggeredPrompt(f"{text[:end]} {trigger_word}{text[end:]}", trigger_inserted=True)


def without_trigger(prompt: str, trigger_word: str = DEFAULT_TRIGGER_WORD) -> str:
    """The prompt as plain text, for a picture of nobody in particular."""
    return " ".join(_word(trigger_word).sub("", prompt).split())


def add_trigger_token(tokenizer: PreTrainedTokenizerBase, trigger_word: str) -> None:
    """Make the trigger one token of its own. It is removed again before any text encoder sees it."""
    tokenizer.add_tokens([AddedToken(trigger_word, single_word=True)], special_tokens=True)


def identity_prompt(
    tokenizer: PreTrainedTokenizerBase, prompt: str, trigger_word: str, id_token_count: int
) -> IdentityPrompt:
    """Expand the class token to ``id_token_count`` places and fit the ids to the tokenizer's length.

    The prompt is truncated to the tokenizer's length first, then expanded, then cut or padded, as the
    reference does. Raises :class:`PromptError` when the trigger is missing or misplaced, or when the
    expansion itself runs past the end.
    """
    limit = tokenizer.model_max_length
    ids = tokenizer(prompt, truncation=True, max_length=limit).input_ids
    trigger_id = tokenizer.convert_tokens_to_ids(trigger_word)
    positions = [index for index, token in enumerate(ids) if token == trigger_id]
    if len(positions) != 1:
        raise PromptError(
            "The prompt must hold the trigger word “{trigger}” exactly once within its first {limit} tokens; "
            "it was found {count} times.",
            trigger=trigger_word,
            limit=limit - 2,
            count=len(positions),
        )
    class_index = positions[0] - 1
    if class_index < 1:
        raise PromptError("The trigger word “{trigger}” must follow the word for the person.", trigger=trigger_word)
    clean = [token for token in ids if token != trigger_id]
    expanded = [*clean[:class_index], *([clean[class_index]] * id_token_count), *clean[class_index + 1 :]]
    class_tokens = range(class_index, class_index + id_token_count)
    if class_tokens.stop > limit:
        raise PromptError(
            "The word before “{trigger}” comes too late: it and the {count} ID tokens that replace it must lie "
            "within the first {limit} tokens. Move the person nearer to the beginning.",
            trigger=trigger_word,
            count=id_token_count,
            limit=limit,
        )
    padding = [tokenizer.pad_token_id] * (limit - len(expanded))
    return IdentityPrompt(
        input_ids=[*expanded[:limit], *padding],
        class_tokens=class_tokens,
        dropped_text=_dropped_text(tokenizer, prompt, trigger_id, seen=limit - id_token_count + 1),
    )


def text_only_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, trigger_word: str) -> str:
    """The prompt without its trigger, as the first tokenizer spells it."""
    trigger_id = tokenizer.convert_tokens_to_ids(trigger_word)
    ids = tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
    return str(tokenizer.decode([token for token in ids if token != trigger_id]))


def _dropped_text(tokenizer: PreTrainedTokenizerBase, prompt: str, trigger_id: int, seen: int) -> str:
    ids = tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
    words = [token for token in ids if token != trigger_id]
    return str(tokenizer.decode(words[seen - 1 :])).strip()


def _word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
