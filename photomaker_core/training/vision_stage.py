"""The vision stage: the nano ID encoder's tower learns to tell people's attributes apart.

It stands in for CLIP's pretraining: PhotoMaker starts from an image encoder that already sees faces.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModel

from photomaker_core.nano.scenes import Identity
from photomaker_core.training.diffusion import uploaded
from photomaker_core.training.drawn_pictures import DrawnPictures
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.pictures import Example
from photomaker_core.training.stage import Figures

_WORDS: Final = ("sex", "age", "skin", "hair_style", "hair_colour", "eye_colour", "beard", "freckles")
_NUMBERS: Final = tuple(
    field.name for field in fields(Identity) if field.name not in _WORDS and field.type in ("float", float)
)
_NUMBER_WEIGHT: Final = 2.0


class VisionStage:
    """Classification of an identity's words and regression of its numbers from any of their photos."""

    def __init__(self, tower: CLIPVisionModel, portraits: DrawnPictures, learning_rate: float) -> None:
        device = portraits.device
        self._tower, self._portraits, self._learning_rate = tower.to(device), portraits, learning_rate
        people = [portraits.portraits.identity(index) for index in range(portraits.portraits.identity_count)]
        numbers = torch.tensor([[getattr(one, name) for name in _NUMBERS] for one in people])
        self._numbers = (numbers - numbers.mean(0)) / numbers.std(0).clamp(min=1e-6)
        self._numbers = self._numbers.to(device)
        self._words: dict[str, Tensor] = {}
        sizes = {}
        for name in _WORDS:
            values, codes = np.unique([str(getattr(one, name)) for one in people], return_inverse=True)
            self._words[name] = torch.from_numpy(codes).to(device)
            sizes[name] = len(values)
        width = int(tower.config.hidden_size)
        self._word_heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()}).to(device)
        self._number_head = nn.Linear(width, len(_NUMBERS)).to(device)

    def parameter_groups(self) -> list[ParameterGroup]:
        modules: tuple[nn.Module, ...] = (self._tower, self._word_heads, self._number_head)
        return [ParameterGroup([one for module in modules for one in module.parameters()], self._learning_rate)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        rng = Random(generator.initial_seed())
        return self._loss(self._portraits.random_id_photos(batch_size, rng), rng)

    def sample(self, path: Path) -> None:
        """There is no picture to show; the log holds the accuracies."""

    def export(self, folder: Path) -> None:
        self._tower.save_pretrained(folder)

    def _loss(self, examples: list[Example], rng: Random) -> tuple[Tensor, Figures]:
        pixels = self._portraits.id_pixels(examples, int(self._tower.config.image_size), rng)
        pooled = self._tower(pixel_values=pixels).pooler_output
        people = uploaded(torch.tensor([example.identity for example in examples]), pixels.device)
        number_loss = functional.mse_loss(self._number_head(pooled).float(), self._numbers[people])
        loss = _NUMBER_WEIGHT * number_loss
        figures: dict[str, Tensor | float] = {"numbers": number_loss.detach()}
        for name, head in self._word_heads.items():
            logits, wanted = head(pooled).float(), self._words[name][people]
            loss = loss + functional.cross_entropy(logits, wanted)
            figures[name] = (logits.argmax(-1) == wanted).float().mean()
        return loss, figures
