"""Drawn pictures as networks that look at generated ones should learn them: decoded, blurred, lit, noisy."""

from __future__ import annotations

from random import Random

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from photomaker_core.training.pictures import Example
from photomaker_core.training.portrait_latents import PortraitLatents


def jittered_pixels(
    portraits: PortraitLatents,
    examples: list[Example],
    vae: AutoencoderKL,
    through_vae: float,
    rng: Random,
    generator: torch.Generator,
    sharpest_loss: int = 2,
) -> Tensor:
    """The pictures [N, 3, H, W] in 0..1; a share ``through_vae`` of them is what ``vae`` decodes from their latents.

    Half of the pictures are blurred, as if they had been as small as a ``sharpest_loss``-th of their side.
    """
    pixels = portraits.pixels(examples)
    decoded = int(len(examples) * through_vae)
    if decoded:
        latents = portraits.latents(examples[:decoded]) / vae.config.scaling_factor
        with torch.no_grad():
            restored = vae.decode(latents, return_dict=False)[0].float()
        pixels = torch.cat([(restored / 2 + 0.5).clamp(0, 1), pixels[decoded:]])
    side = pixels.shape[-1]
    small = rng.randint(side // sharpest_loss, side)
    blurred = functional.interpolate(
        functional.interpolate(pixels, (small, small), mode="area"), (side, side), mode="bilinear"
    )
    blur, gain, strength = (
        torch.rand((len(pixels), 1, 1, 1), generator=generator, device=pixels.device) for _ in range(3)
    )
    pixels = torch.where(blur < 0.5, blurred, pixels) * (0.92 + 0.16 * gain)
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return (pixels + 0.03 * strength * noise).clamp(0, 1)
