"""The portraits as the diffusion stages see them: cached latents, captions, ID photos and masks."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from photomaker_core.images.pixels import signed_pixels
from photomaker_core.images.preprocessing import CLIP_MEAN, CLIP_STD
from photomaker_core.models.vae import encode_pixels
from photomaker_core.nano.captions import caption
from photomaker_core.nano.portrait_set import PortraitSet
from photomaker_core.nano.portraits import FACE_RADII_PX, face_centre
from photomaker_core.training.pictures import Example

_BATCH = 64


class PortraitLatents:
    """A portrait set with every picture's latents at hand, already multiplied by the scaling factor.

    ``dyed_hair`` is the share of random examples in which the hair has another colour than the person's own:
    there the caption alone tells it. ``face_weight`` says how much more the loss counts on eyes and mouth,
    which fill a seventh of the picture and tell most of the person.
    """

    def __init__(
        self,
        portraits: PortraitSet,
        latents: NDArray[np.float16],
        dyed_hair: float = 0.0,
        face_weight: float = 1.0,
    ) -> None:
        self.portraits, self._latents, self._dyed_hair = portraits, latents, dyed_hair
        self._face_weight = face_weight
        self._id_photos: list[list[int]] = []
        self._dyed: list[Example] = []
        for index in range(portraits.identity_count):
            scenes = [portraits.scene(index, picture) for picture in range(portraits.pictures_per_identity)]
            self._id_photos.append([number for number, one in enumerate(scenes) if one.is_id_photo])
            self._dyed += [
                Example(index, number) for number, one in enumerate(scenes) if one.dyed_hair and one.medium == "photo"
            ]

    @classmethod
    def cached(
        cls,
        portraits: PortraitSet,
        vae: AutoencoderKL,
        path: Path,
        dyed_hair: float = 0.0,
        face_weight: float = 1.0,
    ) -> PortraitLatents:
        """Read the latents from ``path``, encoding them first when they are not there."""
        if not path.exists():
            pictures = portraits.pictures
            flat = pictures.reshape(-1, *pictures.shape[2:])
            encoded = [
                _encode(vae, flat[start : start + _BATCH]) for start in tqdm(range(0, len(flat), _BATCH), "latents")
            ]
            stacked = np.concatenate(encoded)
            np.save(path, stacked.reshape(*pictures.shape[:2], *stacked.shape[1:]))
        return cls(portraits, np.load(path), dyed_hair, face_weight)

    @property
    def side_px(self) -> int:
        return int(self.portraits.pictures.shape[2])

    def random_examples(self, count: int, rng: Random) -> list[Example]:
        return [
            rng.choice(self._dyed) if self._dyed and rng.random() < self._dyed_hair else self._any_example(rng)
            for _ in range(count)
        ]

    def random_id_photos(self, count: int, rng: Random) -> list[Example]:
        people = [rng.randrange(self.portraits.identity_count) for _ in range(count)]
        return [Example(person, rng.choice(self._id_photos[person])) for person in people]

    def latents(self, examples: list[Example]) -> Tensor:
        return torch.from_numpy(np.stack([self._latents[one.identity, one.picture] for one in examples])).float()

    def captions(self, examples: list[Example], rng: Random, *, describe_identity: bool) -> list[str]:
        portraits = self.portraits
        return [
            caption(
                portraits.identity(one.identity),
                portraits.scene(one.identity, one.picture),
                rng,
                describe_identity=describe_identity,
            )
            for one in examples
        ]

    def masks(self, examples: list[Example]) -> Tensor:
        masks = torch.from_numpy(np.stack([self.portraits.masks[one.identity, one.picture] for one in examples]))
        return functional.interpolate(masks.unsqueeze(1).float(), self._latents.shape[-2:], mode="area")

    def loss_weights(self, examples: list[Example]) -> Tensor:
        height, width = self._latents.shape[-2:]
        side_px = self.side_px
        y, x = (torch.arange(0.5, cells) * side_px / cells for cells in (height, width))
        rows = []
        for one in examples:
            face_x, face_y = face_centre(self.portraits.scene(one.identity, one.picture))
            distance = ((x - face_x) / FACE_RADII_PX[0]) ** 2 + ((y.unsqueeze(1) - face_y) / FACE_RADII_PX[1]) ** 2
            rows.append(torch.where(distance < 1, self._face_weight, 1.0))
        return torch.stack(rows).unsqueeze(1)

    def id_photos(self, example: Example, rng: Random, most: int) -> list[Example]:
        others = [number for number in self._id_photos[example.identity] if number != example.picture]
        chosen = rng.sample(others, min(rng.randint(1, most), len(others)))
        return [Example(example.identity, number) for number in chosen]

    def pixels(self, examples: list[Example]) -> Tensor:
        """The pictures themselves, [N, 3, H, W] in 0..1."""
        pictures = np.stack([self.portraits.pictures[one.identity, one.picture] for one in examples])
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255

    def id_pixels(self, examples: list[Example], side_px: int, rng: Random) -> Tensor:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        normalised = (self.pixels(examples) - mean) / std
        return functional.interpolate(normalised, (side_px, side_px), mode="bicubic", antialias=True)

    def _any_example(self, rng: Random) -> Example:
        portraits = self.portraits
        return Example(rng.randrange(portraits.identity_count), rng.randrange(portraits.pictures_per_identity))


@torch.no_grad()
def _encode(vae: AutoencoderKL, pictures: NDArray[np.uint8]) -> NDArray[np.float16]:
    with torch.autocast(vae.device.type, torch.bfloat16):
        latents = encode_pixels(vae, signed_pixels(pictures).to(vae.device))
    scaled: NDArray[np.float16] = latents.cpu().numpy().astype(np.float16)
    return scaled
