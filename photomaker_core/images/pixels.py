"""Pictures in bytes as the numbers that a VAE takes. Called by the engine and by training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def signed_pixels(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures [N, H, W, 3] of 0 to 255 as float32 pixels [N, 3, H, W] in -1..1."""
    return torch.from_numpy(np.array(pictures, order="C")).permute(0, 3, 1, 2).float() / 127.5 - 1
