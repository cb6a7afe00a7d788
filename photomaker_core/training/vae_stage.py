"""The VAE stage: an SDXL-style autoencoder trained on the portraits."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from photomaker_core.images.preprocessing import tensor_to_images, tile
from photomaker_core.training.diffusion import generator_on, uploaded
from photomaker_core.training.drawn_pictures import DrawnPictures
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.stage import Figures

_KL_WEIGHT = 1e-6
_EDGE_WEIGHT = 1.0
_SQUARED_WEIGHT = 2.0
_EXPORT_BATCH = 16


class VaeStage:
    """L1 and L2 on pixels, L1 on their differences, with a light KL term.

    ``face_weight`` says how much more all but the KL term count on faces. ``standardised_on`` is the number of
    pictures whose latents the exported VAE gives mean and deviation of noise.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        pictures: DrawnPictures,
        learning_rate: float,
        *,
        face_weight: float = 1.0,
        standardised_on: int = 256,
    ) -> None:
        self._vae, self._pictures, self._learning_rate = vae.to(pictures.device), pictures, learning_rate
        self._face_weight, self._standardised_on = face_weight, standardised_on

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self._vae.parameters()), self._learning_rate)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        pixels, weights = self._pixels(batch_size, generator)
        posterior = self._vae.encode(pixels).latent_dist
        local = generator_on(pixels.device, generator)
        noise = torch.randn(posterior.mean.shape, generator=local, device=pixels.device)
        restored = self._vae.decode(posterior.mean + posterior.std * noise).sample.float()
        error = restored - pixels
        pixel_loss, squared = ((one * weights).sum() / (weights.sum() * 3) for one in (error.abs(), error.square()))
        edges = (
            error.diff(dim=-1).abs() * weights[..., 1:],
            error.diff(dim=-2).abs() * weights[..., 1:, :],
        )
        edge_loss = sum(one.mean() for one in edges) / weights.mean()
        kl = posterior.kl().mean()
        loss = pixel_loss + _SQUARED_WEIGHT * squared + _EDGE_WEIGHT * edge_loss + _KL_WEIGHT * kl
        return loss, {"pixel_l1": pixel_loss.detach(), "kl": kl.detach()}

    @torch.no_grad()
    def sample(self, path: Path) -> None:
        pixels, _ = self._pixels(8, torch.Generator().manual_seed(1))
        restored = self._vae.decode(self._vae.encode(pixels).latent_dist.mean).sample
        tile(tensor_to_images(torch.cat([pixels, restored]) / 2 + 0.5), columns=8).save(path)

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Write the VAE, after giving each latent channel the mean 0 and the deviation 1, as diffusion wants them."""
        generator = torch.Generator().manual_seed(2)
        batches = range(math.ceil(self._standardised_on / _EXPORT_BATCH))
        latents = torch.cat(
            [self._vae.encode(self._pixels(_EXPORT_BATCH, generator)[0]).latent_dist.mean for _ in batches]
        )
        _standardise(self._vae, latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
        self._vae.register_to_config(scaling_factor=1.0)
        self._vae.save_pretrained(folder)

    def _pixels(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures [N, 3, H, W] in -1..1, half of them mirrored, and how much each place counts, [N, 1, H, W]."""
        examples = self._pictures.random_examples(count, Random(int(torch.randint(1 << 62, (), generator=generator))))
        pixels = self._pictures.pixels(examples) * 2 - 1
        weights = self._pictures.face_weights(examples, self._pictures.side_px, self._face_weight)
        flip = uploaded(torch.rand(count, generator=generator) < 0.5, pixels.device).view(-1, 1, 1, 1)
        return torch.where(flip, pixels.flip(-1), pixels), torch.where(flip, weights.flip(-1), weights)


def _standardise(vae: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Fold ``(z - mean) / std`` [C] into the layer behind the encoder, and its inverse into that before the decoder."""
    channels, before, behind = len(mean), vae.quant_conv, vae.post_quant_conv
    behind.bias += behind.weight[:, :, 0, 0] @ mean
    behind.weight *= std.view(1, -1, 1, 1)
    before.bias[:channels] = (before.bias[:channels] - mean) / std
    before.weight[:channels] /= std.view(-1, 1, 1, 1)
    before.bias[channels:] -= 2 * std.log()
