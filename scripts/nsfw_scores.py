"""Measures what the check of pictures says of harmless ones: photos, cuts of them, drawn people, and pictures of nano.

    python -m scripts.nsfw_scores PHOTOS --cuts 24 --drawn 500 --nano 100

Every score at or above the threshold is a harmless picture that members would not get to see.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from PIL import Image

from photomaker_core.evaluation.evaluation_prompts import PHOTO_PROMPTS
from photomaker_core.library_logging import quiet_libraries
from photomaker_core.models.nsfw_classifier import NsfwClassifier
from photomaker_core.nano.portrait_set import identity_number, scene_number
from photomaker_core.nano.portraits import draw

_FORMATS: Final = {".jpg", ".jpeg", ".png", ".webp"}
_CLASS_WORDS: Final = ("man img", "woman img", "boy img", "girl img")


def _photos(folder: Path) -> Iterator[Image.Image]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _FORMATS:
            yield Image.open(path).convert("RGB")


def _cuts(folder: Path, count: int) -> Iterator[Image.Image]:
    """So many cuts of each photo, at random, with a third of its sides at least."""
    random = Random("cuts")
    for photo in _photos(folder):
        for _ in range(count):
            share = random.uniform(0.3, 1)
            width, height = int(share * photo.width), int(share * photo.height)
            left, top = random.randint(0, photo.width - width), random.randint(0, photo.height - height)
            yield photo.crop((left, top, left + width, top + height))


def _drawn(count: int) -> Iterator[Image.Image]:
    for number in range(count):
        yield draw(identity_number(number), scene_number(number, number % 12))[0]


def _nano(count: int) -> Iterator[Image.Image]:
    """Pictures of drawn people by the shipped model, one a prompt and class word."""
    quiet_libraries()
    from photomaker_core.loading.photomaker import load_photomaker
    from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE
    from photomaker_core.sampling.generation import GenerationSettings
    from photomaker_core.sampling.step_engine import StepEngine

    model = load_photomaker(str(NANO_BASE), NANO_ADAPTER)
    engine, side_px = StepEngine(model), model.base.side_px
    wanted = islice(product(PHOTO_PROMPTS, _CLASS_WORDS), count)
    for number, (prompt, who) in enumerate(wanted):
        references = [draw(identity_number(number), scene_number(number, picture))[0] for picture in range(2)]
        conditioning = engine.condition(prompt.about(who), None, model.encode_photos(references))
        generation = engine.begin(conditioning, GenerationSettings(side_px, side_px, steps=20, seed=number))
        while not generation.is_done:
            engine.step([generation])
        yield engine.finish(generation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of harmless photos")
    parser.add_argument("--cuts", type=int, default=24, help="of each photo")
    parser.add_argument("--drawn", type=int, default=500)
    parser.add_argument("--nano", type=int, default=100)
    options = parser.parse_args()
    classifier = NsfwClassifier()
    print("| pictures | number | median | highest | from 0.5 on | from 0.8 on |\n| --- | --- | --- | --- | --- | --- |")
    kinds = {
        "photos": _photos(options.photos),
        "cuts of them": _cuts(options.photos, options.cuts),
        "drawn people": _drawn(options.drawn),
        "nano's": _nano(options.nano),
    }
    for kind, pictures in kinds.items():
        scores = np.array([classifier.scores([one])[0] for one in pictures])
        figures = f"{np.median(scores):.3f} | {scores.max():.3f} | {(scores >= 0.5).sum()} | {(scores >= 0.8).sum()}"
        print(f"| {kind} | {len(scores)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
