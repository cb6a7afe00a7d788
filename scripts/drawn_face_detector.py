"""Trains the detector of drawn faces on composed scenes and writes its weights (on a CPU, about 15 minutes)."""

from __future__ import annotations

import math
from random import Random
from typing import Final

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from photomaker_core.dataset.adapters.drawn_faces import (
    DETECTOR_SIDE_PX,
    DETECTOR_WEIGHTS,
    STRIDE_PX,
    DrawnFaceDetector,
    detector_pixels,
)
from photomaker_core.dataset.drawn_corpus import compose_scene
from photomaker_core.models.face_recognition import Box
from photomaker_core.nano.portrait_set import identity_number
from photomaker_core.nano.portraits import draw_background
from photomaker_core.nano.scenes import random_scene

SCENES: Final = 2_500
EPOCHS: Final = 16
BATCH_SIZE: Final = 20
LEARNING_RATE: Final = 4e-3
PEOPLE: Final = 900_000
"""Identities below this number: the corpus and the evaluation begin at a million."""


def main() -> None:
    """Train and save."""
    torch.manual_seed(0)
    detector = DrawnFaceDetector()
    pixels, targets = _examples()
    optimizer = torch.optim.AdamW(detector.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, EPOCHS * (SCENES // BATCH_SIZE))
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(SCENES).split(BATCH_SIZE)[: SCENES // BATCH_SIZE]:
            gain = 1 + 0.15 * torch.randn(len(batch), 3, 1, 1)
            loss = _loss(detector((pixels[batch].float() / 255 * gain).clamp(0, 1)), targets[batch].float())
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.item()
        print(f"{epoch + 1} {total / (SCENES // BATCH_SIZE):.4f}", flush=True)
    DETECTOR_WEIGHTS.parent.mkdir(exist_ok=True)
    state = {name: one.half() if one.is_floating_point() else one for name, one in detector.state_dict().items()}
    save_file(state, DETECTOR_WEIGHTS)


def _examples() -> tuple[Tensor, Tensor]:
    """Scenes uint8 [N, 3, side, side] and targets [N, 6, h, w]: heat, where the rest counts, offset, size."""
    cells = DETECTOR_SIDE_PX // STRIDE_PX
    pixels = torch.zeros(SCENES, 3, DETECTOR_SIDE_PX, DETECTOR_SIDE_PX, dtype=torch.uint8)
    targets = torch.zeros(SCENES, 6, cells, cells, dtype=torch.float16)
    for index in range(SCENES):
        picture, boxes = _scene(Random(f"scene {index}"))
        drawn, scale = detector_pixels(picture)
        bottom, right = (DETECTOR_SIDE_PX - side for side in drawn.shape[-2:])
        pixels[index] = (functional.pad(drawn, (0, right, 0, bottom), mode="replicate")[0] * 255).round().byte()
        targets[index] = _targets(boxes, scale, (cells, cells)).half()
    return pixels, targets


def _loss(maps: Tensor, targets: Tensor) -> Tensor:
    logits, (heat, weight) = maps[:, 0], targets[:, :2].unbind(1)
    score = logits.sigmoid()
    hit = heat == 1
    positive = (1 - score) ** 2 * functional.softplus(-logits) * hit
    negative = (1 - heat) ** 4 * score**2 * functional.softplus(logits) * ~hit
    regression = ((maps[:, 1:] - targets[:, 2:]).abs().sum(1) * weight).sum() / weight.sum().clamp(min=1)
    return (positive.sum() + negative.sum()) / hit.sum().clamp(min=1) + regression


def _scene(rng: Random) -> tuple[Image.Image, list[Box]]:
    if rng.random() < 0.08:
        side = rng.randrange(128, 400)
        return draw_background(random_scene(rng)).resize((side, 256)), []
    people = [
        (
            identity_number(rng.randrange(PEOPLE)),
            random_scene(rng),
            rng.choice((rng.uniform(0.6, 1.3), rng.uniform(0.28, 0.6))),
        )
        for _ in range(rng.choice((1, 1, 2, 3)))
    ]
    picture, boxes = compose_scene(people, rng)
    if rng.random() < 0.3:
        shrink = rng.uniform(0.4, 1.0)
        picture = picture.resize((round(picture.width * shrink), round(picture.height * shrink)))
        boxes = [tuple(edge * shrink for edge in box) for box in boxes]
    return picture, boxes


def _targets(boxes: list[Box], scale: float, size: tuple[int, int]) -> Tensor:
    heat, weight, target = torch.zeros(size), torch.zeros(size), torch.zeros(4, *size)
    rows, columns = torch.arange(size[0]).view(-1, 1), torch.arange(size[1]).view(1, -1)
    for box in boxes:
        left, top, right, bottom = (edge * scale / STRIDE_PX for edge in box)
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        row, column = min(size[0] - 1, int(y)), min(size[1] - 1, int(x))
        sigma = max(0.4, (width * height) ** 0.5 / 6)
        heat = torch.maximum(heat, torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2)))
        near = ((rows - row).abs() <= 1) & ((columns - column).abs() <= 1)
        wanted = torch.stack(
            [
                (x - columns - 0.5).expand(size),
                (y - rows - 0.5).expand(size),
                torch.full(size, math.log2(max(width, 0.5))),
                torch.full(size, math.log2(max(height, 0.5))),
            ]
        )
        target = torch.where(near, wanted, target)
        weight = torch.where(near, 1.0, weight)
    return torch.cat([torch.stack([heat, weight]), target])


if __name__ == "__main__":
    main()
