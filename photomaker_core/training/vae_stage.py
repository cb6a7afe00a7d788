"""The VAE stage: an SDXL-style autoencoder trained on the portraits."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from photomaker_core.images.pixels import signed_pixels
from photomaker_core.images.preprocessing import tensor_to_images, tile
from photomaker_core.nano.portrait_set import PortraitSet
from photomaker_core.training.trainer import ParameterGroup

_KL_WEIGHT = 1e-6
_EDGE_WEIGHT = 1.0
_SQUARED_WEIGHT = 2.0


class VaeStage:
    """L1 and L2 on pixels, L1 on their differences, with a light KL term."""

    def __init__(self, vae: AutoencoderKL, portraits: PortraitSet, learning_rate: float) -> None:
        self._vae, self._portraits, self._learning_rate = vae, portraits, learning_rate

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self._vae.parameters()), self._learning_rate)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        pixels = self._pixels(batch_size, generator)
        posterior = self._vae.encode(pixels).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        restored = self._vae.decode(posterior.mean + posterior.std * noise).sample.float()
        pixel_loss = functional.l1_loss(restored, pixels)
        edge_loss = sum(functional.l1_loss(restored.diff(dim=axis), pixels.diff(dim=axis)) for axis in (-1, -2))
        kl = posterior.kl().mean()
        squared = functional.mse_loss(restored, pixels)
        loss = pixel_loss + _SQUARED_WEIGHT * squared + _EDGE_WEIGHT * edge_loss + _KL_WEIGHT * kl
        return loss, {"pixel_l1": pixel_loss.item(), "kl": kl.item()}

    @torch.no_grad()
    def sample(self, path: Path) -> None:
        pixels = self._pixels(8, torch.Generator().manual_seed(1))
        restored = self._vae.decode(self._vae.encode(pixels).latent_dist.mean).sample
        tile(tensor_to_images(torch.cat([pixels, restored]) / 2 + 0.5), columns=8).save(path)

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Write the VAE with the scaling factor that gives its latents unit variance."""
        generator = torch.Generator().manual_seed(2)
        latents = torch.cat([self._vae.encode(self._pixels(16, generator)).latent_dist.mean for _ in range(8)])
        self._vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 5))
        self._vae.save_pretrained(folder)

    def _pixels(self, count: int, generator: torch.Generator) -> Tensor:
        pictures = self._portraits.pictures.reshape(-1, *self._portraits.pictures.shape[2:])
        chosen = torch.randint(len(pictures), (count,), generator=generator).numpy()
        pixels = signed_pixels(pictures[chosen])
        flip = torch.rand(count, generator=generator) < 0.5
        return torch.where(flip[:, None, None, None], pixels.flip(-1), pixels)
