"""Words that files bring: textual inversions (Gal et al. 2022, arXiv 2208.01618) for SDXL's two text encoders.

Their ids lie behind each encoder's own table, which stays as it is: whoever draws without the file is not touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

_PLACEHOLDER = 0


@dataclass(frozen=True, slots=True, eq=False)
class TextualInversion:
    """``word`` stands for N learnt vectors, [N, D] for each encoder; ``first_ids`` are those of its first vector."""

    word: str
    vectors: tuple[Tensor, Tensor]
    first_ids: tuple[int, int]

    def ids(self, encoder: int) -> range:
        """Its ids for an encoder, 0 or 1."""
        return range(self.first_ids[encoder], self.first_ids[encoder] + len(self.vectors[encoder]))


@contextmanager
def learnt_vectors(
    model: PreTrainedModel, ids: Tensor, inversions: Sequence[TextualInversion], encoder: int
) -> Iterator[Tensor]:
    """While this is open, ``model`` gives the vectors of ``inversions`` where ``ids`` [B, L] hold theirs.

    Yields the ids to call it with.
    """
    table = model.config.vocab_size
    learnt = ids >= table
    if not learnt.any():
        yield ids
        return
    known = {
        one: vector for word in inversions for one, vector in zip(word.ids(encoder), word.vectors[encoder], strict=True)
    }
    vectors = torch.stack([known[one] for one in ids[learnt].tolist()])

    def put(module: torch.nn.Module, given: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        return embedded.masked_scatter(learnt.to(embedded.device).unsqueeze(-1), vectors.to(embedded))

    hook = model.get_input_embeddings().register_forward_hook(put)
    try:
        yield ids.masked_fill(learnt, _PLACEHOLDER)
    finally:
        hook.remove()
