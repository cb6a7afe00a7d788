"""Regions as short texts, to draw with the places of an earlier picture; and people who exchange their places.

Called by whoever keeps what a picture was drawn with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from photomaker_core.errors import SettingsError
from photomaker_core.sampling.regions import Regions, one_each

KEPT_SIDE: Final = 16
_NOBODY: Final = "-"


@dataclass(frozen=True)
class KeptRegions:
    """Regions on a grid of 16 x 16: ``text`` has the rows one after the other, a digit for each position's person
    counted from 0, and ``-`` where nobody is.

    Raises :class:`SettingsError` for another text.
    """

    text: str
    people: int

    def __post_init__(self) -> None:
        known = {_NOBODY, *map(str, range(self.people))}
        if len(self.text) != KEPT_SIDE**2 or not set(self.text) <= known or self.people > 10:
            raise SettingsError("The places of the people in this picture cannot be read any more.")

    @cached_property
    def _owned(self) -> Tensor:
        owners = torch.tensor([-1 if one == _NOBODY else int(one) for one in self.text])
        return (owners == torch.arange(self.people)[:, None]).view(self.people, KEPT_SIDE, KEPT_SIDE)

    def on_grid(self, height: int, width: int) -> Tensor:
        """See :class:`Regions`."""
        owned = functional.interpolate(self._owned[None].float(), (height, width), mode="nearest-exact")[0].bool()
        return one_each(owned, _wished(self._owned, height, width))


@dataclass(frozen=True, slots=True)
class ExchangedRegions:
    """``regions`` in which every person takes the place of the one ``by`` places after them, in a circle."""

    regions: Regions
    by: int = 1

    @property
    def people(self) -> int:
        return self.regions.people

    def on_grid(self, height: int, width: int) -> Tensor:
        """See :class:`Regions`."""
        return self.regions.on_grid(height, width).roll(-self.by, 0)


def kept_text(regions: Regions) -> str:
    """The text that :class:`KeptRegions` reads."""
    owned = regions.on_grid(KEPT_SIDE, KEPT_SIDE).flatten(1)
    return "".join(
        str(int(person)) if somebody else _NOBODY
        for person, somebody in zip(owned.int().argmax(0), owned.any(0), strict=True)
    )


def _wished(owned: Tensor, height: int, width: int) -> Tensor:
    """True [P, height, width] for the positions that a person's part of a finer grid touches most."""
    shares = functional.interpolate(owned[None].float(), (height, width), mode="area")[0]
    return shares == shares.amax((1, 2), keepdim=True)
