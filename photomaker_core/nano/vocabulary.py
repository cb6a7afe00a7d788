"""CLIP's BPE vocabulary, cut down to what the nano model needs.

``python -m photomaker_core.nano.vocabulary bpe_simple_vocab_16e6.txt.gz FOLDER`` wrote the two tokenizers
that ship with the model; the file is the one inside the open-clip-torch package (MIT).
"""

from __future__ import annotations

import gzip
import sys
from itertools import pairwise
from pathlib import Path
from typing import Final

from transformers import CLIPTokenizer

from photomaker_core.conditioning.person_words import CLASS_WORDS
from photomaker_core.nano.captions import vocabulary_words

COMMON_MERGES: Final = 1500
_CLIP_MERGES: Final = 49152 - 256 - 2
_END_OF_WORD: Final = "</w>"
_PAD_TOKENS: Final = ("<|endoftext|>", "!")

Merge = tuple[str, str]


def trimmed_tokenizers(bpe_file: Path) -> tuple[CLIPTokenizer, CLIPTokenizer]:
    """SDXL's two tokenizers (they differ in the pad token) with the merges that our captions use."""
    ranks = _read_merges(bpe_file)
    kept = {merge for merge, rank in ranks.items() if rank < COMMON_MERGES}
    for word in {*vocabulary_words(), *CLASS_WORDS}:
        kept |= _merges_of(word, ranks)
    merges = sorted(kept, key=ranks.__getitem__)
    letters = _byte_letters()
    words = [*letters, *(f"{letter}{_END_OF_WORD}" for letter in letters), *map("".join, merges)]
    vocabulary = {word: index for index, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    first, second = (
        CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=pad_token, model_max_length=77)
        for pad_token in _PAD_TOKENS
    )
    return first, second


def _read_merges(bpe_file: Path) -> dict[Merge, int]:
    lines = gzip.decompress(bpe_file.read_bytes()).decode().splitlines()[1 : _CLIP_MERGES + 1]
    pairs = (line.split() for line in lines)
    return {(left, right): rank for rank, (left, right) in enumerate(pairs)}


def _merges_of(word: str, ranks: dict[Merge, int]) -> set[Merge]:
    """The merges that spell ``word`` (Sennrich et al. 2016)."""
    parts = [*word[:-1], f"{word[-1]}{_END_OF_WORD}"]
    used: set[Merge] = set()
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        used.add(best)
        place = next(index for index, pair in enumerate(pairwise(parts)) if pair == best)
        parts[place : place + 2] = ["".join(best)]
    return used


def _byte_letters() -> list[str]:
    """The printable stand-ins for the 256 bytes, in CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, printable), *(chr(256 + index) for index in range(256 - len(printable)))]


def main(bpe_file: str, folder: str) -> None:
    for name, tokenizer in zip(("tokenizer", "tokenizer_2"), trimmed_tokenizers(Path(bpe_file)), strict=True):
        tokenizer.save_pretrained(Path(folder) / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
