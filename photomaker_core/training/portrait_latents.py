"""The drawn pictures as the diffusion stages see them: with their latents, encoded once."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from photomaker_core.images.pixels import signed_pixels
from photomaker_core.models.vae import encode_pixels, fingerprint
from photomaker_core.nano.portrait_set import PortraitSet
from photomaker_core.training.diffusion import uploaded
from photomaker_core.training.drawn_pictures import DrawnPictures
from photomaker_core.training.durable_files import replacing_file
from photomaker_core.training.pictures import Example

_BATCH = 128


class PortraitLatents(DrawnPictures):
    """Drawn pictures with ``latents`` [I, K, C, h, w], already multiplied by the scaling factor.

    ``face_weight`` says how much more the loss counts on eyes and mouth, which fill a seventh of a portrait and tell
    most of the person.
    """

    def __init__(
        self,
        portraits: PortraitSet,
        latents: Tensor,
        dyed_hair: float = 0.0,
        face_weight: float = 1.0,
    ) -> None:
        super().__init__(portraits, latents.device, dyed_hair)
        self._latents, self._face_weight = latents, face_weight

    @classmethod
    def encoded(
        cls,
        portraits: PortraitSet,
        vae: AutoencoderKL,
        work: Path,
        dyed_hair: float = 0.0,
        face_weight: float = 1.0,
    ) -> PortraitLatents:
        """Read the latents from the folder ``work``, encoding them on ``vae``'s device when they are not there."""
        count, each = portraits.pictures.shape[:2]
        path = work / f"latents-{portraits.first_identity}-{count}x{each}-{fingerprint(vae)}.npy"
        if path.exists():
            stacked = torch.from_numpy(np.load(path)).to(vae.device)
        else:
            starts = tqdm(range(0, count * each, _BATCH), "latents")
            stacked = torch.cat([_encode(vae, portraits, start) for start in starts])
            with replacing_file(path) as place:
                np.save(place, stacked.cpu().numpy())
        return cls(portraits, stacked.unflatten(0, (count, each)), dyed_hair, face_weight)

    def latents(self, examples: list[Example]) -> Tensor:
        return self._latents[self._at(examples)].float()

    def masks(self, examples: list[Example], meant: Tensor) -> Tensor:
        return self.person_masks(examples, meant, self._latents.shape[-1])

    def regions(self, examples: list[Example], rng: Random) -> Tensor:
        """For half of the pictures equal columns, as layouts are, for the others what attention would show."""
        side = self._latents.shape[-1]
        by_column = uploaded(torch.tensor([rng.random() < 0.5 for _ in examples]), self.device)
        return torch.where(by_column[:, None, None], self.columns(examples, side), self.outlines(examples, side))

    def loss_weights(self, examples: list[Example]) -> Tensor:
        return self.face_weights(examples, self._latents.shape[-1], self._face_weight)


@torch.no_grad()
def _encode(vae: AutoencoderKL, portraits: PortraitSet, start: int) -> Tensor:
    pictures = portraits.pictures.reshape(-1, *portraits.pictures.shape[2:])[start : start + _BATCH]
    latents: Tensor = encode_pixels(vae, signed_pixels(pictures).to(vae.device)).to(torch.float16)
    return latents
