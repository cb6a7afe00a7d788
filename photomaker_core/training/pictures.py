"""The datasets of the PhotoMaker stage: targets with captions and masks, and ID photos of the same person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from photomaker_core.conditioning.prompt_tokens import identity_prompt
from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD, place_trigger
from photomaker_core.errors import UserError
from photomaker_core.models.text_encoders import TextEncoders
from photomaker_core.nano.portrait_set import NOBODY

T = TypeVar("T")


class UnusablePictureError(UserError):
    """A picture that cannot be trained on, and is left out from now on: draw the batch anew."""


def from_usable_pictures(draw: Callable[[], T]) -> T:
    """The result of ``draw``, which is called anew as long as it meets a picture that proves unusable."""
    while True:
        try:
            return draw()
        except UnusablePictureError:
            continue


@dataclass(frozen=True, slots=True)
class Example:
    """One training picture: person ``identity`` of the set, in their picture number ``picture``."""

    identity: int
    picture: int


@dataclass(frozen=True, slots=True)
class Prompts:
    """Captions without their trigger words: ``first`` and ``second`` are ids [B, 77] for either text encoder.

    ``class_tokens`` [B, P], on the CPU, says where the class words of the people stand who are left to their ID
    photos, in the order in which the caption names them; ``NOBODY`` where there are fewer than P.
    """

    first: Tensor
    second: Tensor
    class_tokens: Tensor

    def expanded(self, counts: Tensor) -> Prompts:
        """The same with each class word as often as ``counts`` [B, P] says; what no longer fits is cut off.

        ``counts``, on the CPU, are 0 where nobody is meant.
        """
        place = torch.arange(self.first.shape[1]).expand(len(self.first), -1)
        extra = (counts - 1).clamp(min=0)
        source = place
        for person in reversed(range(counts.shape[1])):
            start, room = self.class_tokens[:, person, None], extra[:, person, None]
            source = source.gather(1, torch.where(place <= start, place, torch.maximum(place - room, start)))
        moved = torch.where(self.class_tokens == NOBODY, NOBODY, self.class_tokens + extra.cumsum(1) - extra)
        first, second = (ids.gather(1, source.to(ids.device, non_blocking=True)) for ids in (self.first, self.second))
        return Prompts(first, second, moved)


def joined(rows: Sequence[Prompts]) -> Prompts:
    """One batch of several, one after another."""
    return Prompts(
        torch.cat([row.first for row in rows]),
        torch.cat([row.second for row in rows]),
        torch.cat([row.class_tokens for row in rows]),
    )


def tokenise(text: TextEncoders, captions: Sequence[str]) -> Prompts:
    """Captions as ids, with the trigger word placed where it is missing.

    Raises :class:`PromptError` for a caption without class word, or with one that lies past the last token.
    """
    first, second = text.tokenizers
    placed = [place_trigger(caption).text for caption in captions]
    rows = [
        [identity_prompt(tokenizer, caption, DEFAULT_TRIGGER_WORD, 1) for tokenizer in (first, second)]
        for caption in placed
    ]
    return Prompts(
        torch.tensor([row[0].input_ids for row in rows]),
        torch.tensor([row[1].input_ids for row in rows]),
        torch.tensor([[row[1].class_tokens.start] for row in rows]),
    )


class TrainingPictures(Protocol):
    """Implemented by the drawn portraits and by a folder of photographs. Tensors are on any device.

    All but the first two raise :class:`UnusablePictureError` when one of the pictures proves unusable.
    """

    @property
    def side_px(self) -> int:
        """The side of the square target pictures."""

    def random_examples(self, count: int, rng: Random) -> list[Example]:
        """Targets for one batch."""

    def prompts(self, examples: list[Example], text: TextEncoders, rng: Random, *, describe_identity: bool) -> Prompts:
        """One caption each, in which a class word occurs, as ``text``'s tokenizers have it.

        Without ``describe_identity`` it leaves out what the ID photos tell, where the set knows the difference.
        """

    def latents(self, examples: list[Example]) -> Tensor:
        """Scaled latents [B, C, h, w] in float32."""

    def masks(self, examples: list[Example], meant: Tensor) -> Tensor:
        """Masks of the people who are ``meant``, bool [B, P], at the latents' resolution, [B, 1, h, w] in 0..1."""

    def regions(self, examples: list[Example], rng: Random) -> Tensor | None:
        """Whose part of the picture each latent position is, integers [B, h, w] below P.

        ``None`` where every picture shows one person.
        """

    def loss_weights(self, examples: list[Example]) -> Tensor:
        """The weight of the loss at each place, [B, 1, h, w], above 0; ones where the set makes no difference."""

    def id_photos(self, example: Example, person: int, rng: Random, most: int) -> list[Example]:
        """One to ``most`` photos of the picture's ``person``, 0 for the first, other than ``example``."""

    def id_pixels(self, examples: list[Example], side_px: int, rng: Random) -> Tensor:
        """ID photos as a CLIP vision tower takes them, [N, 3, side_px, side_px]."""
