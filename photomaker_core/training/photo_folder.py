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
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from photomaker_core.conditioning.trigger_placement import place_trigger
from photomaker_core.errors import PromptError, UserError
from photomaker_core.images.pixels import signed_pixels
from photomaker_core.images.preprocessing import clip_pixels
from photomaker_core.models.text_encoders import TextEncoders
from photomaker_core.models.vae import encode_pixels
from photomaker_core.training.id_photo import UNREADABLE, on_noise
from photomaker_core.training.pictures import Example, Prompts, UnusablePictureError, joined, tokenise
from photomaker_core.training.unusable_pictures import UnusablePictures

_LOGGER: Final = logging.getLogger(__name__)
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_READERS: Final = 8
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class _Picture:
    path: Path
    caption: str

    @property
    def mask_path(self) -> Path:
        return self.path.with_suffix(".mask.png")


class FolderPictures:
    """The pictures of a dataset folder, encoded by ``vae`` as they are asked for.

    Left out, with a warning that counts and names them, are pictures without caption or class word, and then people
    with a single picture; raises :class:`UserError` when nobody remains. A picture that cannot be read, or whose class
    word comes after the last token, is left out when it is met; :attr:`left_out` counts those.
    """

    def __init__(self, folder: Path, vae: Any, side_px: int) -> None:
        self._vae, self._side_px = vae, side_px
        problems: list[str] = []
        people = [_pictures_of(one, problems) for one in sorted(folder.iterdir()) if one.is_dir()]
        if problems:
            named = " ".join(problems[:_NAMED])
            _LOGGER.warning("%d pictures are left out for their captions. The first: %s", len(problems), named)
        self._people = [pictures for pictures in people if len(pictures) > 1]
        if not self._people:
            reasons = f" {len(problems)} pictures have no usable caption. {problems[0]}" if problems else ""
            raise UserError(
                f"{folder} holds nobody with two pictures; see the format in docs/architecture.md.{reasons}"
            )
        if len(self._people) < len(people):
            _LOGGER.warning("%d people have fewer than two pictures and are left out", len(people) - len(self._people))
        self._unusable = UnusablePictures()
        self._count = sum(map(len, self._people))
        self._latent_side = side_px // 2 ** (len(vae.config.block_out_channels) - 1)

    @property
    def side_px(self) -> int:
        return self._side_px

    @property
    def left_out(self) -> int:
        """The number of pictures that have proved unusable so far."""
        return len(self._unusable)

    def random_examples(self, count: int, rng: Random) -> list[Example]:
        """Targets for one batch: a resumed run, which knows of no unusable picture yet, comes to the same ones."""
        if self.left_out >= self._count:
            raise UserError(f"None of the {self._count} pictures can be used: they are broken, or have no ID photo.")
        return [self._random_example(rng) for _ in range(count)]

    def prompts(self, examples: list[Example], text: TextEncoders, rng: Random, *, describe_identity: bool) -> Prompts:
        rows = []
        for example in examples:
            try:
                rows.append(tokenise(text, [self._at(example).caption]))
            except PromptError as error:
                raise self._unusable.no_target(example, self._at(example).path, str(error)) from error
        return joined(rows)

    @torch.no_grad()
    def latents(self, examples: list[Example]) -> Tensor:
        pictures = _read_all(self._target, examples)
        pixels = signed_pixels(np.stack([np.asarray(one) for one in pictures]))
        with torch.autocast(self._vae.device.type, enabled=False):
            return encode_pixels(self._vae, pixels.to(self._vae.device)).cpu()

    def masks(self, examples: list[Example], meant: Tensor) -> Tensor:
        masks = [np.asarray(mask) for mask in _read_all(self._mask, examples)]
        stacked = torch.from_numpy(np.stack(masks)).unsqueeze(1).float() / 255
        return functional.interpolate(stacked, (self._latent_side, self._latent_side), mode="area")

    def regions(self, examples: list[Example], rng: Random) -> None:
        """A photograph shows one person who is meant."""

    def loss_weights(self, examples: list[Example]) -> Tensor:
        return torch.ones(len(examples), 1, self._latent_side, self._latent_side)

    def id_photos(self, example: Example, person: int, rng: Random, most: int) -> list[Example]:
        chosen = self._unusable.id_photos(example, len(self._people[example.identity]), lambda one: one, rng, most)
        if not chosen:
            raise self._unusable.no_target(example, self._at(example).path, "the person has no other usable picture.")
        return chosen

    def id_pixels(self, examples: list[Example], side_px: int, rng: Random) -> Tensor:
        """The person cut out, on random noise (paper, 3.2), so that nothing is learned from the background."""
        seeds = [rng.getrandbits(32) for _ in examples]
        photos = _read_all(lambda pair: self._cut_out(*pair), list(zip(examples, seeds, strict=True)))
        return clip_pixels(photos, side_px)

    def _random_example(self, rng: Random) -> Example:
        while True:
            person = rng.randrange(len(self._people))
            example = Example(person, rng.randrange(len(self._people[person])))
            if self._unusable.is_target(example):
                return example

    def _opened(self, example: Example, path: Path, mode: str = "RGB") -> Image.Image:
        try:
            with Image.open(path) as picture:
                return picture.convert(mode)
        except UNREADABLE as error:
            name = self._at(example).path
            raise self._unusable.broken(example, name, f"{path.name} cannot be read: {error}") from error

    def _at(self, example: Example) -> _Picture:
        return self._people[example.identity][example.picture]

    def _target(self, example: Example) -> Image.Image:
        return ImageOps.fit(
            self._opened(example, self._at(example).path), (self._side_px, self._side_px), Image.Resampling.BICUBIC
        )

    def _mask(self, example: Example) -> Image.Image:
        path = self._at(example).mask_path
        size = (self._side_px, self._side_px)
        return ImageOps.fit(self._opened(example, path, "L"), size) if path.exists() else Image.new("L", size, 255)

    def _cut_out(self, example: Example, noise_seed: int) -> Image.Image:
        picture = self._at(example)
        photo = self._opened(example, picture.path)
        if not picture.mask_path.exists():
            return photo
        mask = self._opened(example, picture.mask_path, "L").resize(photo.size)
        return on_noise(photo, mask, noise_seed)


def _pictures_of(folder: Path, problems: list[str]) -> list[_Picture]:
    """The pictures of a person; a sentence for each without usable caption is added to ``problems``."""
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _SUFFIXES and not path.name.endswith(".mask.png")
    ]
    pictures = []
    for path in paths:
        try:
            pictures.append(_Picture(path, _caption(path)))
        except UnusablePictureError as error:
            problems.append(str(error))
    return pictures


def _caption(picture: Path) -> str:
    path = picture.with_suffix(".txt")
    try:
        caption = path.read_text("utf-8").strip()
        place_trigger(caption)
    except OSError as error:
        raise UnusablePictureError(f"The picture {picture} has no caption {path.name} beside it.") from error
    except (PromptError, UnicodeDecodeError) as error:
        raise UnusablePictureError(f"The caption {path} cannot be used: {error}") from error
    return caption


def _read_all(read: Callable[[Any], Image.Image], what: Sequence[Any]) -> list[Image.Image]:
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(read, what))
