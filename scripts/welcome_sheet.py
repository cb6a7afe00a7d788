"""Draws the sheet of the demo's welcome with the shipped weights: ``python -m scripts.welcome_sheet FILE``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bot.tools.demo import SAMPLE_PEOPLE
from photomaker_core.evaluation.evaluation_prompts import EvaluationPrompt
from photomaker_core.evaluation.methods import PhotoMakerMethod, PromptSpec
from photomaker_core.evaluation.people import drawn_people
from photomaker_core.images.preprocessing import tile
from photomaker_core.loading.photomaker import load_photomaker
from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY
from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE
from photomaker_core.sampling.generation import GenerationSettings

_TEXTS: Final = (
    "a {person} in a red hat at the beach",
    "a {person} with sunglasses in the snow",
    "a smiling {person} in a forest",
    "a pencil sketch of a {person}",
)


def make(path: Path) -> None:
    """One row for each sample person: an ID photo, and what nano draws of them; seeds are the first ones."""
    model = load_photomaker(str(NANO_BASE), NANO_ADAPTER)
    settings = GenerationSettings(model.base.side_px, model.base.side_px, 30)
    wishes = [PromptSpec(EvaluationPrompt("welcome", text), seed) for seed, text in enumerate(_TEXTS)]
    cells = []
    for offset in SAMPLE_PEOPLE.values():
        (person,) = drawn_people(1, 4, FIRST_HELD_OUT_IDENTITY + offset)
        cells += [person.photos[0], *PhotoMakerMethod(model, settings).personalise(person)(wishes)]
    tile(cells, columns=1 + len(_TEXTS)).save(path, quality=92)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
