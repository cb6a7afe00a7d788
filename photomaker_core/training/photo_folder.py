"""A dataset folder of photographs: one folder a person, with captions and person masks beside the pictures.

    DIR/NAME/0001.jpg         a picture, upright; cropped around the face as the dataset pipeline does
    DIR/NAME/0001.txt         its caption, with a class word ("a man in a red hat at the beach")
    DIR/NAME/0001.mask.png    white where the person is; without it the whole picture counts

Pictures are read when they are needed, several at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from photomaker_core.conditioning.prompt_tokens import place_trigger
from photomaker_core.errors import PromptError, UserError
from photomaker_core.images.pixels import signed_pixels
from photomaker_core.images.preprocessing import clip_pixels
from photomaker_core.models.vae import encode_pixels
from photomaker_core.training.pictures import Example

_LOGGER: Final = logging.getLogger(__name__)
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_READERS: Final = 8
_MARGIN: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Picture:
    path: Path
    caption: str

    @property
    def mask_path(self) -> Path:
        return self.path.with_suffix(".mask.png")


class FolderPictures:
    """The pictures of a dataset folder, encoded by ``vae`` as they are asked for.

    People with a single picture are left out. Raises :class:`UserError` when nobody remains, and for a picture
    without caption or a caption without class word.
    """

    def __init__(self, folder: Path, vae: Any, side_px: int) -> None:
        self._vae, self._side_px = vae, side_px
        people = [_pictures_of(one) for one in sorted(folder.iterdir()) if one.is_dir()]
        self._people = [pictures for pictures in people if len(pictures) > 1]
        if not self._people:
            raise UserError(f"{folder} holds nobody with two pictures; see the format in docs/architecture.md.")
        if len(self._people) < len(people):
            _LOGGER.warning("%d people have fewer than two pictures and are left out", len(people) - len(self._people))
        self._latent_side = side_px // 2 ** (len(vae.config.block_out_channels) - 1)

    @property
    def side_px(self) -> int:
        return self._side_px

    def random_examples(self, count: int, rng: Random) -> list[Example]:
        people = [rng.randrange(len(self._people)) for _ in range(count)]
        return [Example(person, rng.randrange(len(self._people[person]))) for person in people]

    def captions(self, examples: list[Example], rng: Random, *, describe_identity: bool) -> list[str]:
        return [self._at(example).caption for example in examples]

    @torch.no_grad()
    def latents(self, examples: list[Example]) -> Tensor:
        pictures = _read_all(self._target, examples)
        pixels = signed_pixels(np.stack([np.asarray(one) for one in pictures]))
        with torch.autocast(self._vae.device.type, enabled=False):
            return encode_pixels(self._vae, pixels.to(self._vae.device)).cpu()

    def masks(self, examples: list[Example]) -> Tensor:
        masks = [np.asarray(mask) for mask in _read_all(self._mask, examples)]
        stacked = torch.from_numpy(np.stack(masks)).unsqueeze(1).float() / 255
        return functional.interpolate(stacked, (self._latent_side, self._latent_side), mode="area")

    def loss_weights(self, examples: list[Example]) -> Tensor:
        return torch.ones(len(examples), 1, self._latent_side, self._latent_side)

    def id_photos(self, example: Example, rng: Random, most: int) -> list[Example]:
        others = [number for number in range(len(self._people[example.identity])) if number != example.picture]
        chosen = rng.sample(others, min(rng.randint(1, most), len(others)))
        return [Example(example.identity, number) for number in chosen]

    def id_pixels(self, examples: list[Example], side_px: int, rng: Random) -> Tensor:
        """The person cut out, on a random plain colour, so that nothing is learned from the background."""
        fills = [(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in examples]
        photos = _read_all(lambda pair: self._cut_out(*pair), list(zip(examples, fills, strict=True)))
        return clip_pixels(photos, side_px)

    def _at(self, example: Example) -> _Picture:
        return self._people[example.identity][example.picture]

    def _target(self, example: Example) -> Image.Image:
        return ImageOps.fit(_open(self._at(example).path), (self._side_px, self._side_px), Image.Resampling.BICUBIC)

    def _mask(self, example: Example) -> Image.Image:
        path = self._at(example).mask_path
        size = (self._side_px, self._side_px)
        return ImageOps.fit(_open(path, "L"), size) if path.exists() else Image.new("L", size, 255)

    def _cut_out(self, example: Example, fill: tuple[int, int, int]) -> Image.Image:
        picture = self._at(example)
        photo = _open(picture.path)
        if not picture.mask_path.exists():
            return photo
        mask = _open(picture.mask_path, "L").resize(photo.size)
        box = mask.getbbox()
        if box is None:
            return photo
        cut = Image.composite(photo, Image.new("RGB", photo.size, fill), mask)
        left, top, right, bottom = box
        half = max(right - left, bottom - top) * (0.5 + _MARGIN)
        middle = ((left + right) / 2, (top + bottom) / 2)
        square = tuple(round(centre + sign * half) for sign in (-1, 1) for centre in middle)
        frame = Image.new("RGB", (square[2] - square[0], square[3] - square[1]), fill)
        frame.paste(cut, (-square[0], -square[1]))
        return frame


def _pictures_of(folder: Path) -> list[_Picture]:
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _SUFFIXES and not path.name.endswith(".mask.png")
    ]
    return [_Picture(path, _caption(path)) for path in paths]


def _caption(picture: Path) -> str:
    path = picture.with_suffix(".txt")
    try:
        caption = path.read_text().strip()
        place_trigger(caption)
    except OSError as error:
        raise UserError(f"The picture {picture} has no caption {path.name} beside it.") from error
    except PromptError as error:
        raise UserError(f"The caption {path} cannot be used: {error}") from error
    return caption


def _open(path: Path, mode: str = "RGB") -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert(mode)
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"The picture {path} cannot be read: {error}") from error


def _read_all(read: Callable[[Any], Image.Image], what: Sequence[Any]) -> list[Image.Image]:
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(read, what))
