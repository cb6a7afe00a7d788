"""Reads the class word of a drawn person from their face, as a captioner's network reads it from a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

CLASS_WORD_WEIGHTS: Final = Path(__file__).parents[1] / "weights" / "drawn_class_words.safetensors"
WORDS: Final = ("man", "woman", "boy", "girl")
_HEAD: Final = (16, 4, 112, 100)
"""The part of a portrait of 128 pixels that is read: hair, face and collar."""
_WIDTHS: Final = (16, 32, 64, 96)


class DrawnClassWordReader(nn.Module):
    """Four stages of convolutions over the head, averaged; one logit for each of :data:`WORDS`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in _WIDTHS:
            layers += [_convolution(before, width, 2), _convolution(width, width, 1)]
            before = width
        self.stages = nn.Sequential(*layers)
        self.head = nn.Linear(before, len(WORDS))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [N, 4] of heads [N, 3, 96, 96] in -1..1."""
        logits: Tensor = self.head(self.stages(pixels).mean((2, 3)))
        return logits

    @torch.no_grad()
    def read(self, portraits: Sequence[Image.Image]) -> list[str]:
        """The class word of each portrait as :func:`~.drawn_faces.portrait_around` frames it."""
        return [WORDS[index] for index in self(head_pixels(portraits)).argmax(-1).tolist()]


def load_class_word_reader() -> DrawnClassWordReader:
    """The trained reader (``python -m scripts.drawn_class_words`` made its weights)."""
    reader = DrawnClassWordReader()
    reader.load_state_dict({name: one.float() for name, one in load_file(CLASS_WORD_WEIGHTS).items()})
    return reader.requires_grad_(False).eval()


def head_pixels(portraits: Sequence[Image.Image]) -> Tensor:
    """Heads [N, 3, 96, 96] in -1..1 of portraits of 128 x 128 pixels."""
    heads = np.stack([np.asarray(portrait.convert("RGB").crop(_HEAD)) for portrait in portraits])
    return torch.from_numpy(heads).permute(0, 3, 1, 2).float() / 127.5 - 1


def _convolution(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.SiLU()
    )
