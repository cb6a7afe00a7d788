"""Trains how class words are read from drawn people as a detector frames them (on one core, about half an hour)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Final

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from photomaker_core.dataset.adapters.drawn_class_words import (
    CLASS_WORD_WEIGHTS,
    WORDS,
    DrawnClassWordReader,
    head_pixels,
)
from photomaker_core.dataset.adapters.drawn_faces import DrawnFaces, portrait_around
from photomaker_core.dataset.boxes import intersection_over_union
from photomaker_core.dataset.drawn_corpus import Box, compose_scene
from photomaker_core.nano.portrait_set import identity_number
from photomaker_core.nano.scenes import Identity, Scene, random_scene, reference_scene

PEOPLE: Final = 400_000
SCENES: Final = 16_000
HELD_OUT_SCENES: Final = 600
FIRST: Final = 500_000
EPOCHS: Final = 14
BATCH_SIZE: Final = 64
LEARNING_RATE: Final = 3e-3
_BOX_NOISE: Final = 0.06
"""How far the detector's boxes lie from the true ones, as a share of the box's sides."""


def main() -> None:
    """Train, print the accuracy on people left out, and save."""
    torch.manual_seed(0)
    tested, truth = _stack(_found_faces(range(SCENES, SCENES + HELD_OUT_SCENES)))
    heads, words = _stack(_true_faces(range(SCENES)))
    print(f"{len(words)} faces to learn from, {len(truth)} left out", flush=True)
    reader = DrawnClassWordReader()
    steps = len(words) // BATCH_SIZE
    optimizer = torch.optim.AdamW(reader.parameters(), LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, EPOCHS * steps)
    for epoch in range(EPOCHS):
        reader.train()
        total = 0.0
        for batch in torch.randperm(len(words)).split(BATCH_SIZE)[:steps]:
            logits = reader(_varied(heads[batch]))
            loss = functional.cross_entropy(logits, words[batch], label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.item()
        reader.eval()
        with torch.no_grad():
            right = torch.cat([reader(_pixels(part)).argmax(-1) for part in tested.split(256)]) == truth
        print(f"{epoch + 1} loss {total / steps:.4f}, right of those left out {right.float().mean():.1%}", flush=True)
    state = {name: one.half() if one.is_floating_point() else one for name, one in reader.state_dict().items()}
    save_file(state, CLASS_WORD_WEIGHTS)


def _stack(faces: Iterator[tuple[Image.Image, str]]) -> tuple[Tensor, Tensor]:
    heads, words = [], []
    for portrait, word in faces:
        heads.append(((head_pixels([portrait]) + 1) * 127.5).round().to(torch.uint8))
        words.append(WORDS.index(word))
    return torch.cat(heads), torch.tensor(words)


def _true_faces(numbers: range) -> Iterator[tuple[Image.Image, str]]:
    """Faces by their true boxes, as far off as a detector's are."""
    for number in numbers:
        people, picture, boxes, rng = _composed(number)
        for box, (identity, _, _) in zip(boxes, people, strict=True):
            left, top, right, bottom = box
            width, height = right - left, bottom - top
            x, y, size = (rng.gauss(0, _BOX_NOISE) for _ in range(3))
            yield (
                portrait_around(
                    picture,
                    (
                        left + width * (x - size),
                        top + height * (y - size),
                        right + width * (x + size),
                        bottom + height * (y + size),
                    ),
                ),
                identity.class_word,
            )


def _found_faces(numbers: range) -> Iterator[tuple[Image.Image, str]]:
    """Faces as the detector finds them."""
    finder = DrawnFaces()
    for number in numbers:
        people, picture, boxes, _ = _composed(number)
        for face in finder.find(picture):
            for box, (identity, _, _) in zip(boxes, people, strict=True):
                if intersection_over_union(face.box, box) > 0.5:
                    yield portrait_around(picture, face.box), identity.class_word


def _composed(number: int) -> tuple[list[tuple[Identity, Scene, float]], Image.Image, list[Box], Random]:
    rng = Random(f"class words {number}")
    people = [
        (identity_number(FIRST + rng.randrange(PEOPLE)), _scene(rng), rng.uniform(0.7, 1.25))
        for _ in range(rng.choice((1, 1, 2)))
    ]
    picture, boxes = compose_scene(people, rng)
    return people, picture, boxes, rng


def _scene(rng: Random) -> Scene:
    scene = reference_scene(rng) if rng.random() < 0.7 else random_scene(rng)
    return replace(scene, medium="photo", dyed_hair=None, framing="portrait", action="none")


def _varied(heads: Tensor) -> Tensor:
    """Half of them mirrored, lighter or darker."""
    pixels = _pixels(heads)
    mirrored = torch.where(torch.rand(len(pixels), 1, 1, 1) < 0.5, pixels.flip(3), pixels)
    return mirrored * (1 + 0.1 * torch.randn(len(pixels), 3, 1, 1))


def _pixels(heads: Tensor) -> Tensor:
    return heads.float() / 127.5 - 1


if __name__ == "__main__":
    main()
