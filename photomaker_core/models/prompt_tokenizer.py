"""A CLIP tokenizer as prompts need it: every id that it gives has a row in its encoder's embedding table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from transformers import PreTrainedTokenizerBase

_END_OF_WORD: Final = "</w>"


@dataclass(frozen=True, slots=True)
class PromptTokenizer:
    """``embeddings`` is how many ids the encoder knows, ``length`` how many a prompt has with begin, end and padding.

    A tokenizer that was saved with tokens added to it gives ids that its encoder never learned; looking one up fails
    on a CPU and spoils the whole process on a GPU. Such tokens are left out.

    ``learnt`` are words that files brought, whole words in any case, with ids of their own from ``embeddings`` on.
    """

    tokenizer: PreTrainedTokenizerBase
    embeddings: int
    length: int
    learnt: Mapping[str, range] = field(default_factory=dict)

    def ids(self, text: str) -> list[int]:
        """The ids of a text alone, as many as it has."""
        if not self.learnt:
            return self._plain_ids(text)
        longest_first = sorted(self.learnt, key=len, reverse=True)
        words = re.compile(rf"(?<!\w)(?:{'|'.join(f'({re.escape(word)})' for word in longest_first)})(?!\w)", re.I)
        found: list[int] = []
        start = 0
        for match in words.finditer(text):
            assert match.lastindex is not None
            found += [*self._plain_ids(text[start : match.start()]), *self.learnt[longest_first[match.lastindex - 1]]]
            start = match.end()
        return found + self._plain_ids(text[start:])

    def words(self, ids: Sequence[int]) -> list[list[int]]:
        """``ids`` cut behind every token that ends a word."""
        words: list[list[int]] = [[]]
        for word, some in self._by_word(ids):
            if word is not None:
                words += [list(some), []]
                continue
            for one, spelling in zip(some, self.tokenizer.convert_ids_to_tokens(list(some)), strict=True):
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
        return " ".join(word or str(self.tokenizer.decode(list(some))).strip() for word, some in self._by_word(ids))

    def _plain_ids(self, text: str) -> list[int]:
        encodable = text.encode("utf-8", "replace").decode()
        found = self.tokenizer(encodable, add_special_tokens=False, verbose=False).input_ids
        return [token for token in found if token < self.embeddings]

    def _by_word(self, ids: Sequence[int]) -> Iterator[tuple[str | None, Sequence[int]]]:
        """``ids`` in runs: each learnt word with its own, even where it is cut off, and ``None`` with all others."""
        start = 0
        while start < len(ids):
            word = next((name for name, own in self.learnt.items() if ids[start] in own), None)
            end = start + 1
            if word is None:
                while end < len(ids) and ids[end] < self.embeddings:
                    end += 1
            else:
                while end < len(ids) and ids[end] == ids[end - 1] + 1 and ids[end] in self.learnt[word]:
                    end += 1
            yield word, ids[start:end]
            start = end
