"""Previews of a picture from its latents alone, in a few thousand multiplications.

The best linear map from a latent to the mean colour of the pixels it stands for is fitted to the base's own VAE,
so that any base has previews and nothing has to be downloaded. Called by the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from photomaker_core.models.vae import encode_pixels

_SAMPLES: Final = 12
_GRID: Final = 16


@dataclass(frozen=True, slots=True)
class LatentColours:
    """``weights`` [C + 1, 3] take a latent and a 1 to a colour in 0..1."""

    weights: Tensor

    @classmethod
    @torch.no_grad()
    def fitted(cls, vae: AutoencoderKL, vae_scale: int, device: torch.device, seed: int = 0) -> LatentColours:
        """Fit to soft random colour fields of :data:`_GRID` latents a side, by least squares."""
        generator = torch.Generator().manual_seed(seed)
        side = _GRID * vae_scale
        coarse = torch.rand((_SAMPLES, 3, 5, 5), generator=generator)
        pixels = functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=True).clamp(0, 1)
        latents = torch.cat([encode_pixels(vae, (one[None] * 2 - 1).to(device)).cpu() for one in pixels])
        colours = functional.avg_pool2d(pixels, vae_scale)
        return cls(torch.linalg.lstsq(_with_ones(latents), colours.permute(0, 2, 3, 1).reshape(-1, 3)).solution)

    def __call__(self, latents: Tensor) -> Tensor:
        """Scaled latents [B, C, h, w] on any device to pixels [B, 3, h, w] in 0..1 on the CPU; grey for no number."""
        batch, _, height, width = latents.shape
        pixels = _with_ones(latents.float().cpu()) @ self.weights
        return pixels.reshape(batch, height, width, 3).permute(0, 3, 1, 2).nan_to_num(0.5).clamp(0, 1)


def _with_ones(latents: Tensor) -> Tensor:
    rows = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
