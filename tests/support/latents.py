"""Comparing latents that were drawn beside others with those drawn alone."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_SHARE: Final = 1e-3


def assert_as_alone(together: Tensor, alone: Tensor) -> None:
    """Fail where latents differ by more than a thousandth of the largest.

    Matrix products of another batch size round differently, and a tiny model of random weights makes that up to
    1.7e-4 larger over its steps; what leaks from a neighbour is of the order of the latents themselves.
    """
    torch.testing.assert_close(together, alone, atol=_SHARE * float(alone.abs().max()), rtol=0)
