"""Where each person of a picture is: boxes, named layouts, or what the picture's own first steps show.

A region says which latent positions see a person's tokens; :mod:`photomaker_core.models.regional_attention` makes
masks of it. Called by the engine, and by whoever says where people are to be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from photomaker_core.errors import SettingsError

LEAST_SHARE: Final = 0.5
"""Attention is clear where everybody's part of the picture has at least this part of an equal share."""
LEAST_CONTRAST: Final = 1.05
"""... and where everybody's word is looked at so many times as strongly in their own part as elsewhere."""
_BLUR: Final = 0.06


class Regions(Protocol):
    """Where each of a picture's people is, in the order in which the prompt names them."""

    @property
    def people(self) -> int:
        """How many regions there are."""

    def on_grid(self, height: int, width: int) -> Tensor:
        """A tensor of bool [P, height, width], true where a position belongs to a person; everybody has at least one.

        No position belongs to two people.
        """


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the picture; edges in fractions of its width and height, from its upper left corner.

    Raises :class:`SettingsError` where the edges are out of 0..1 or in the wrong order.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        edges = (self.left, self.top, self.right, self.bottom)
        if not all(math.isfinite(edge) and 0 <= edge <= 1 for edge in edges):
            raise SettingsError(
                "A box's edges lie between 0 and 1, as parts of the picture; {left:g}, {top:g}, {right:g}, {bottom:g} "
                "do not.",
                left=self.left,
                top=self.top,
                right=self.right,
                bottom=self.bottom,
            )
        if self.left >= self.right or self.top >= self.bottom:
            raise SettingsError(
                "A box is left, top, right, bottom, the first two below the others; {left:g}, {top:g}, {right:g}, "
                "{bottom:g} is not.",
                left=self.left,
                top=self.top,
                right=self.right,
                bottom=self.bottom,
            )

    def on_grid(self, height: int, width: int) -> Tensor:
        """True [height, width] for the positions whose middle is in the box, or for the one nearest to its middle."""
        rows, columns = (torch.arange(count).add(0.5) / count for count in (height, width))
        inside_rows, inside_columns = (
            (places >= low) & (places < high)
            for places, low, high in ((rows, self.top, self.bottom), (columns, self.left, self.right))
        )
        inside_rows[min(height - 1, int((self.top + self.bottom) / 2 * height))] = True
        inside_columns[min(width - 1, int((self.left + self.right) / 2 * width))] = True
        return inside_rows[:, None] & inside_columns


@dataclass(frozen=True, slots=True)
class BoxRegions:
    """A box for each person; where two overlap, the person named first is in front."""

    boxes: tuple[Box, ...]

    def __post_init__(self) -> None:
        taken = torch.zeros(_FINE_GRID, dtype=torch.bool)
        for number, box in enumerate(self.boxes, start=1):
            claim = box.on_grid(*_FINE_GRID)
            if not (claim & ~taken).any():
                raise SettingsError("Box {number} is hidden behind those before it.", number=number)
            taken |= claim

    @property
    def people(self) -> int:
        return len(self.boxes)

    def on_grid(self, height: int, width: int) -> Tensor:
        """See :class:`Regions`."""
        fine = torch.stack([box.on_grid(height, width) for box in self.boxes])
        return one_each(_first_wins(fine), fine)


@dataclass(frozen=True, slots=True, eq=False)
class AttentionRegions:
    """Who is looked for most at each position; ``maps`` [P, h, w] say how much, comparably."""

    maps: Tensor

    @property
    def people(self) -> int:
        return len(self.maps)

    def on_grid(self, height: int, width: int) -> Tensor:
        """See :class:`Regions`."""
        maps = functional.interpolate(self.maps[None], (height, width), mode="bilinear", antialias=True)[0]
        chosen = functional.one_hot(maps.argmax(0), len(maps)).permute(2, 0, 1).bool()
        return one_each(chosen, maps == maps.amax((1, 2), keepdim=True))


def equal_shares(people: int) -> BoxRegions:
    """Columns of equal width, from left to right."""
    return BoxRegions(tuple(Box(place / people, 0, (place + 1) / people, 1) for place in range(people)))


def layout_named(name: str, people: int) -> BoxRegions:
    """The regions of one of :data:`LAYOUTS` for two or three people; raises :class:`SettingsError` for any other."""
    if name not in LAYOUTS:
        raise SettingsError("Unknown layout “{name}”. Use one of: {names}", name=name, names=", ".join(LAYOUTS))
    boxes = LAYOUTS[name].get(people)
    if boxes is None:
        raise SettingsError("A layout is for two or three people, not for {count}.", count=people)
    return boxes


def regions_from_attention(maps: Tensor) -> Regions:
    """The regions that the attention to each person's class word shows, [P, h, w]; equal shares where it is not clear.

    Each map is blurred by a Gaussian whose standard deviation is 6 % of the longer side, and divided by its mean, so
    that a word which is looked at more everywhere takes nothing from the others; every position then belongs to the
    person whose map is highest. It is clear where everybody gets at least ``LEAST_SHARE`` of an equal share, and is
    looked at ``LEAST_CONTRAST`` times as strongly there as elsewhere.
    """
    maps = maps.detach().float().cpu()
    people = len(maps)
    if not maps.isfinite().all() or bool((maps.amax((1, 2)) <= 0).any()):
        return equal_shares(people)
    blurred = _blurred(maps)
    regions = AttentionRegions(blurred / blurred.mean((1, 2), keepdim=True))
    owned = regions.on_grid(*maps.shape[1:])
    for own, strength in zip(owned, regions.maps, strict=True):
        if own.float().mean() < LEAST_SHARE / people or own.all():
            return equal_shares(people)
        if strength[own].mean() < LEAST_CONTRAST * strength[~own].mean():
            return equal_shares(people)
    return regions


def _blurred(maps: Tensor) -> Tensor:
    """``maps`` [P, h, w] under a Gaussian, with their edges repeated outwards."""
    deviation = _BLUR * max(maps.shape[1:])
    radius = min(max(1, round(3 * deviation)), *(side - 1 for side in maps.shape[1:])) if min(maps.shape[1:]) > 1 else 0
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = (kernel / kernel.sum()).expand(len(maps), 1, -1)
    padded = functional.pad(maps[None], (radius,) * 4, mode="replicate")
    along_rows = functional.conv2d(padded, kernel[:, :, None, :], groups=len(maps))
    return functional.conv2d(along_rows, kernel[:, :, :, None], groups=len(maps))[0]


def _first_wins(claims: Tensor) -> Tensor:
    """``claims`` [P, h, w] with every position left to the first person who claims it."""
    return claims & (claims.int().cumsum(0) == 1)


def one_each(regions: Tensor, wishes: Tensor) -> Tensor:
    """``regions`` with a position of their ``wishes`` for each person who has none, taken from whoever has more."""
    for person, wished in enumerate(wishes):
        if not regions[person].any():
            spare = wished & ~(regions & (regions.sum((1, 2), keepdim=True) == 1)).any(0)
            place = int((spare if spare.any() else wished).flatten().int().argmax())
            regions.flatten(1)[:, place] = False
            regions.flatten(1)[person, place] = True
    return regions


_FINE_GRID: Final = (256, 256)

LAYOUTS: Final[Mapping[str, Mapping[int, BoxRegions]]] = {
    "side-by-side": {2: equal_shares(2), 3: equal_shares(3)},
    "left-of": {2: equal_shares(2), 3: equal_shares(3)},
    "right-of": {count: BoxRegions(equal_shares(count).boxes[::-1]) for count in (2, 3)},
    "in-front-of": {
        2: BoxRegions((Box(0.0, 0.25, 0.6, 1.0), Box(0.4, 0.0, 1.0, 1.0))),
        3: BoxRegions((Box(0.3, 0.25, 0.7, 1.0), Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0))),
    },
}
"""What ``layout_named`` knows: each says where the first person is, seen from the others, by the number of people."""
