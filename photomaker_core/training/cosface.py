"""The identity loss of the networks that tell people apart: CosFace (Wang et al. 2018, arXiv 1801.09414)."""

from __future__ import annotations

from typing import Final

from torch import Tensor
from torch.nn import functional

_SCALE: Final = 20.0
_MARGIN: Final = 0.2


def cosface(embeddings: Tensor, centres: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of ``embeddings`` [N, D] of unit length, and the share whose person is the nearest.

    ``centres`` [P, D], of any length, stand for the people; ``own`` [N] says whose each embedding is.
    """
    cosines = embeddings.float() @ functional.normalize(centres, dim=-1).T
    margins = _MARGIN * functional.one_hot(own, cosines.shape[1])
    accuracy = (cosines.argmax(-1) == own).float().mean()
    return functional.cross_entropy(_SCALE * (cosines - margins), own), accuracy
