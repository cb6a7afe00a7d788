"""A CLIP tokenizer as prompts need it: every id that it gives has a row in its encoder's embedding table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from transformers import PreTrainedTokenizerBase

_END_OF_WORD: Final = "</w>"


@dataclass(frozen=True, slots=True)
class PromptTokenizer:
    """``embeddings`` is how many ids the encoder knows, ``length`` how many a prompt has with begin, end and padding.

    A tokenizer that was saved with tokens added to it gives ids that its encoder never learned; looking one up fails
    on a CPU and spoils the whole process on a GPU. Such tokens are left out.
    """

    tokenizer: PreTrainedTokenizerBase
    embeddings: int
    length: int

    def ids(self, text: str) -> list[int]:
        """The ids of a text alone, as many as it has."""
        encodable = text.encode("utf-8", "replace").decode()
        found = self.tokenizer(encodable, add_special_tokens=False, verbose=False).input_ids
        return [token for token in found if token < self.embeddings]

    def words(self, ids: Sequence[int]) -> list[list[int]]:
        """``ids`` cut behind every token that ends a word."""
        words: list[list[int]] = [[]]
        for one, spelling in zip(ids, self.tokenizer.convert_ids_to_tokens(list(ids)), strict=True):
            words[-1].append(one)
            if spelling.endswith(_END_OF_WORD):
                words.append([])
        return [word for word in words if word]

    def framed(self, ids: Sequence[int]) -> list[int]:
        """``ids`` between begin and end, cut or padded to ``length``."""
        return self.padded([self.tokenizer.bos_token_id, *ids[: self.length - 2], self.tokenizer.eos_token_id])

    def padded(self, ids: Sequence[int]) -> list[int]:
        """``ids`` cut or padded to ``length``."""
        return [*ids[: self.length], *([self.tokenizer.pad_token_id] * (self.length - len(ids)))]

    def text(self, ids: Sequence[int]) -> str:
        """The text that ``ids`` spell, as this tokenizer writes it: in lower case, punctuation apart."""
        return str(self.tokenizer.decode(list(ids))).strip()
