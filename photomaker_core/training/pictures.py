"""What the PhotoMaker stage needs of a dataset: targets with captions and masks, and ID photos of the same person."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Example:
    """One training picture: person ``identity`` of the set, in their picture number ``picture``."""

    identity: int
    picture: int


class TrainingPictures(Protocol):
    """Implemented by the drawn portraits and by a folder of photographs. Tensors are on the CPU."""

    @property
    def side_px(self) -> int:
        """The side of the square target pictures."""

    def random_examples(self, count: int, rng: Random) -> list[Example]:
        """Targets for one batch."""

    def captions(self, examples: list[Example], rng: Random, *, describe_identity: bool) -> list[str]:
        """One caption each, in which a class word occurs.

        Without ``describe_identity`` it leaves out what the ID photos tell, where the set knows the difference.
        """

    def latents(self, examples: list[Example]) -> Tensor:
        """Scaled latents [B, C, h, w] in float32."""

    def masks(self, examples: list[Example]) -> Tensor:
        """Person masks at the latents' resolution, [B, 1, h, w] in 0..1."""

    def loss_weights(self, examples: list[Example]) -> Tensor:
        """How much the loss counts at each place, [B, 1, h, w], above 0; ones where the set makes no difference."""

    def id_photos(self, example: Example, rng: Random, most: int) -> list[Example]:
        """One to ``most`` photos of the same person other than ``example``."""

    def id_pixels(self, examples: list[Example], side_px: int, rng: Random) -> Tensor:
        """ID photos as a CLIP vision tower takes them, [N, 3, side_px, side_px]."""
