"""Faces of drawn people: a small detector, and the portrait judge's ID embedding.

They stand where RetinaFace and ArcFace stand for photographs, and know drawn portraits only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from photomaker_core.dataset.boxes import intersection_over_union, scaled
from photomaker_core.models.face_recognition import Box, Face
from photomaker_core.nano.drawing import HEAD_CENTRE
from photomaker_core.nano.judge import judge_pixels, load_judge
from photomaker_core.nano.portraits import SIZE_PX

DETECTOR_WEIGHTS: Final = Path(__file__).parents[1] / "weights" / "drawn_face_detector.safetensors"
STRIDE_PX: Final = 8
DETECTOR_SIDE_PX: Final = 160
_MULTIPLE_PX: Final = 16
_WIDTHS: Final = (16, 24, 48, 64)
_MOST_OVERLAP: Final = 0.4
_MIN_SCORE: Final = 0.4
_MOST_FACES: Final = 16
_TYPICAL_FACE_PX: Final = 57.0
"""The geometric mean of a face's width and height in a portrait of 128 pixels at zoom 1."""
SAME_PERSON_MEAN: Final = 0.66
SAME_PERSON_DEVIATION: Final = 0.16
"""Of the judge's L2 distance between two pictures of one person (60 held-out people, 8 pictures each)."""


class DrawnFaceDetector(nn.Module):
    """Objects as points (Zhou et al. 2019, arXiv 1904.07850) on a small U-Net.

    Its maps have a cell per :data:`STRIDE_PX` pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = _WIDTHS
        self.fine = nn.Sequential(
            _convolution(3, first, 2),
            _convolution(first, second, 2),
            _convolution(second, third, 2),
            _convolution(third, third),
        )
        self.coarse = nn.Sequential(_convolution(third, fourth, 2), _convolution(fourth, fourth))
        self.joined = _convolution(third + fourth, third)
        self.head = nn.Conv2d(third, 5, 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, 0.0)
        nn.init.constant_(self.head.bias[:1], -4.0)

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps [N, 5, h, w]: the score's logit, the centre's offset in cells (x, y), log2 of width and height in cells.

        ``pixels`` is [N, 3, H, W] in 0..1, sides multiples of 16.
        """
        fine = self.fine(pixels * 2 - 1)
        coarse = functional.interpolate(self.coarse(fine), scale_factor=2.0)
        maps: Tensor = self.head(self.joined(torch.cat([fine, coarse], dim=1)))
        return maps


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.SiLU()
    )


class DrawnFaces:
    """Finds and embeds the faces of drawn people; a :class:`~photomaker_core.dataset.stage_networks.FaceFinder`."""

    same_person_mean = SAME_PERSON_MEAN
    same_person_deviation = SAME_PERSON_DEVIATION

    def __init__(self) -> None:
        self._judge = load_judge()
        self._detector = DrawnFaceDetector()
        self._detector.load_state_dict({name: one.float() for name, one in load_file(DETECTOR_WEIGHTS).items()})
        self._detector.requires_grad_(False).eval()

    @torch.no_grad()
    def find(self, picture: Image.Image) -> list[Face]:
        pixels, scale = detector_pixels(picture)
        maps = self._detector(pixels)[0]
        found = [(scaled(box, 1 / scale), score) for box, score in _peaks(maps) if score >= _MIN_SCORE]
        if not found:
            return []
        portraits = [portrait_around(picture, box) for box, _ in found]
        embeddings = self._judge.identities(self._judge.features(judge_pixels(portraits)).pooled).numpy()
        return [Face(*box, score, embedding) for (box, score), embedding in zip(found, embeddings, strict=True)]


def detector_pixels(picture: Image.Image) -> tuple[Tensor, float]:
    """The picture as the detector takes it, [1, 3, h, w] in 0..1, and the scale it was shrunk by."""
    scale = min(1.0, DETECTOR_SIDE_PX / max(picture.size))
    width, height = (max(1, round(edge * scale)) for edge in picture.size)
    shrunk = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels = torch.from_numpy(np.array(shrunk)).permute(2, 0, 1).unsqueeze(0).float() / 255
    right, below = (-edge % _MULTIPLE_PX for edge in (width, height))
    return functional.pad(pixels, (0, right, 0, below), mode="replicate"), scale


def portrait_around(picture: Image.Image, box: Sequence[float]) -> Image.Image:
    """The part of ``picture`` in which the face lies as in a drawn portrait, 128 x 128."""
    left, top, right, bottom = box
    side = SIZE_PX * math.sqrt((right - left) * (bottom - top)) / _TYPICAL_FACE_PX
    x, y = ((left + right) / 2 - side * HEAD_CENTRE[0] / SIZE_PX, (top + bottom) / 2 - side * HEAD_CENTRE[1] / SIZE_PX)
    size = (SIZE_PX, SIZE_PX)
    if side > 2 * SIZE_PX:  # transform() does not average what it skips
        shrink = SIZE_PX * 2 / side
        small = picture.resize((max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink))))
        return portrait_around(small, [edge * shrink for edge in box])
    extent = (x, y, x + side, y + side)
    return picture.transform(size, Image.Transform.EXTENT, extent, Image.Resampling.BICUBIC)


def _peaks(maps: Tensor) -> list[tuple[Box, float]]:
    """Boxes in detector pixels with their scores, best first.

    They stand at the cells that are the highest of their 3 x 3; of overlapping ones the best is left.
    """
    scores = maps[0].sigmoid()
    highest = functional.max_pool2d(scores.unsqueeze(0), 3, stride=1, padding=1)[0]
    ranked = torch.where(scores == highest, scores, torch.zeros_like(scores)).flatten()
    values, cells = ranked.topk(min(_MOST_FACES, ranked.numel()))
    boxes: list[tuple[Box, float]] = []
    for value, cell in zip(values.tolist(), cells.tolist(), strict=True):
        row, column = divmod(cell, scores.shape[1])
        dx, dy, log_width, log_height = maps[1:, row, column].tolist()
        x, y = (column + 0.5 + dx) * STRIDE_PX, (row + 0.5 + dy) * STRIDE_PX
        half_width, half_height = (2.0**log * STRIDE_PX / 2 for log in (log_width, log_height))
        box = (x - half_width, y - half_height, x + half_width, y + half_height)
        if all(intersection_over_union(box, other) <= _MOST_OVERLAP for other, _ in boxes):
            boxes.append((box, value))
    return boxes
