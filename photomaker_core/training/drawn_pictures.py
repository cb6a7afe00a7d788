"""A set of drawn pictures on the device that trains: every batch is gathered there."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, lru_cache
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from photomaker_core.images.preprocessing import CLIP_MEAN, CLIP_STD
from photomaker_core.models.text_encoders import TextEncoders
from photomaker_core.nano.portrait_set import PortraitSet
from photomaker_core.training.diffusion import uploaded
from photomaker_core.training.pictures import Example, Prompts

_ID_PHOTO, _DYED, _ALONE = range(3)
_NO_SIZE = 1e-3


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces in N pictures of up to P people: ``people`` [N, P], their indices, ``ellipses`` [N, P, 4] in pixels.

    The ellipses are (x, y, rx, ry) from the upper left corner.
    """

    people: Tensor
    ellipses: Tensor

    @property
    def are_seen(self) -> Tensor:
        """Who is there, bool [N, P]."""
        return self.ellipses[..., 3] > 0


class DrawnPictures:
    """The arrays of a portrait set as tensors on ``device``, and the pictures of it that a stage draws at random.

    ``dyed_hair`` is the share of random examples in which the hair has another colour than the person's own:
    there the caption alone tells it.
    """

    def __init__(self, portraits: PortraitSet, device: torch.device, dyed_hair: float = 0.0) -> None:
        self.portraits, self.device, self._dyed_hair = portraits, device, dyed_hair
        tensors = _on_device(portraits, device)
        self._pictures, self._masks, self._faces = tensors["pictures"], tensors["masks"], tensors["faces"]
        self._attributes = tensors["attributes"]
        self._prompts = tensors["prompts"]
        self._people, self._class_tokens = portraits.people, portraits.class_tokens
        self._people_here = tensors["people"]
        kinds = portraits.kinds
        self._id_photos = [row.nonzero()[0].tolist() for row in kinds[:, :, _ID_PHOTO]]
        self._alone = [row.nonzero()[0].tolist() for row in kinds[:, :, _ALONE]]
        dyed = zip(*(one.tolist() for one in kinds[:, :, _DYED].nonzero()), strict=True)
        self._dyed = [Example(identity, picture) for identity, picture in dyed]

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

    def random_single_people(self, count: int, rng: Random) -> list[Example]:
        """Pictures of one person alone."""
        people = [rng.randrange(self.portraits.identity_count) for _ in range(count)]
        return [Example(person, rng.choice(self._alone[person])) for person in people]

    def id_photos(self, example: Example, person: int, rng: Random, most: int) -> list[Example]:
        identity = int(self._people[example.identity, example.picture, person])
        own = example.picture if identity == example.identity else None
        others = [number for number in self._id_photos[identity] if number != own]
        count = min(1 + int(rng.random() * most), len(others))
        # The first steps of a Fisher-Yates shuffle: random.sample takes five times as long, which a GPU would wait for.
        for place in range(count):
            other = place + int(rng.random() * (len(others) - place))
            others[place], others[other] = others[other], others[place]
        return [Example(identity, number) for number in others[:count]]

    def pixels(self, examples: list[Example]) -> Tensor:
        """The pictures themselves, [N, 3, H, W] in 0..1."""
        return self._pictures[self._at(examples)].permute(0, 3, 1, 2).float() / 255

    def id_pixels(self, examples: list[Example], side_px: int, rng: Random) -> Tensor:
        mean, std = (uploaded(torch.tensor(values), self.device).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        normalised = (self.pixels(examples) - mean) / std
        # As matrix products: torch's own kernel takes most of a training step on a GPU.
        with torch.autocast(self.device.type, enabled=False):
            resized = _resizing(self.side_px, side_px).to(self.device)
            return resized @ normalised @ resized.T

    def prompts(self, examples: list[Example], text: TextEncoders, rng: Random, *, describe_identity: bool) -> Prompts:
        identities, pictures = self._at(examples)
        chosen = [rng.randrange(self._prompts.shape[3]) for _ in examples]
        versions = self._index(chosen)
        where = identities, pictures, torch.full_like(versions, int(describe_identity)), versions
        first = self._prompts[where].long()
        people, numbers = [one.identity for one in examples], [one.picture for one in examples]
        class_tokens = self._class_tokens[people, numbers, int(describe_identity), chosen]
        return Prompts(first, padded_anew(first, text), torch.from_numpy(class_tokens).long())

    def captions(self, examples: list[Example], rng: Random) -> Tensor:
        """One caption each that describes everything, as ids [N, 77] of the first tokenizer."""
        versions = self._index([rng.randrange(self._prompts.shape[3]) for _ in examples])
        return self._prompts[*self._at(examples), torch.ones_like(versions), versions].long()

    def attributes(self, examples: list[Example]) -> Tensor:
        """The numbers of the shown values, [N, A]; see :class:`PortraitSet`."""
        return self._attributes[self._at(examples)].long()

    def faces(self, examples: list[Example]) -> Faces:
        """Everybody's faces, on the CPU."""
        where = [one.identity for one in examples], [one.picture for one in examples]
        people, ellipses = self._people[where], self.portraits.faces[where]
        return Faces(torch.from_numpy(people), torch.from_numpy(ellipses))

    def face_weights(self, examples: list[Example], side: int, weight: float) -> Tensor:
        """``weight`` inside the faces' ellipses and 1 elsewhere, [N, 1, side, side]."""
        ellipses = self._faces[self._at(examples)].clamp(min=_NO_SIZE).unsqueeze(-1).unsqueeze(-1)
        x, y, rx, ry = ellipses.unbind(2)
        middle = torch.arange(0.5, side, device=self.device) * self.side_px / side
        distance = ((middle - x) / rx) ** 2 + ((middle.unsqueeze(1) - y) / ry) ** 2
        return torch.where((distance < 1).any(1, keepdim=True), weight, 1.0)

    def person_masks(self, examples: list[Example], meant: Tensor, side: int) -> Tensor:
        """The share of each cell that the people cover who are ``meant``, bool [N, P]: [N, 1, side, side] in 0..1."""
        wanted = functional.pad(uploaded(meant, self.device), (1, 0))
        masks = wanted[torch.arange(len(examples), device=self.device)[:, None, None], self._places(examples)]
        return functional.interpolate(masks.unsqueeze(1).float(), (side, side), mode="area")

    def columns(self, examples: list[Example], side: int) -> Tensor:
        """Columns of equal width for everybody in a picture: whose each place is, [N, side, side]."""
        people = (self._people_here[self._at(examples)] >= 0).sum(-1)
        middle = torch.arange(0.5, side, device=self.device) / side
        return (people[:, None] * middle).long()[:, None].expand(-1, side, -1)

    def outlines(self, examples: list[Example], side: int) -> Tensor:
        """The same, where whoever is seen at a place has it also beyond their column."""
        places = self._places(examples)
        seen = functional.interpolate(places.unsqueeze(1).float(), (side, side), mode="nearest")[:, 0].long()
        return torch.where(seen > 0, seen - 1, self.columns(examples, side))

    def _places(self, examples: list[Example]) -> Tensor:
        return self._masks[self._at(examples)].long()

    def _at(self, examples: list[Example]) -> tuple[Tensor, Tensor]:
        return self._index([one.identity for one in examples]), self._index([one.picture for one in examples])

    def _index(self, numbers: list[int]) -> Tensor:
        return uploaded(torch.tensor(numbers), self.device)

    def _any_example(self, rng: Random) -> Example:
        portraits = self.portraits
        return Example(rng.randrange(portraits.identity_count), rng.randrange(portraits.pictures_per_identity))


@lru_cache(maxsize=1)
def _on_device(portraits: PortraitSet, device: torch.device) -> dict[str, Tensor]:
    """All arrays, several gigabytes of them: the stages of one process share them."""
    arrays = {field.name: getattr(portraits, field.name) for field in fields(portraits)}
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items() if isinstance(array, np.ndarray)}


@cache
def _resizing(side_px: int, wanted_px: int) -> Tensor:
    """The matrix [wanted_px, side_px] that resizes columns of pixels bicubically, as Pillow does."""
    unit = torch.eye(side_px)[None, None]
    return functional.interpolate(unit, (wanted_px, side_px), mode="bicubic", antialias=True)[0, 0]


def padded_anew(first: Tensor, text: TextEncoders) -> Tensor:
    """Ids of the first tokenizer, [B, 77], with the second one's padding behind their end: else both agree."""
    end, padding = text.tokenizers[0].tokenizer.eos_token_id, text.tokenizers[1].tokenizer.pad_token_id
    ends = (first == end).int().argmax(1, keepdim=True)
    behind = torch.arange(first.shape[1], device=first.device) > ends
    return torch.where(behind, padding, first)
