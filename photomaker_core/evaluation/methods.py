"""The methods that are compared: how each makes a person known to the model, and draws them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

from PIL import Image
from torch import Tensor

from photomaker_core.evaluation.evaluation_prompts import EvaluationPrompt
from photomaker_core.evaluation.people import Person, drawn_number
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.nano.portrait_set import identity_number
from photomaker_core.nano.portraits import draw
from photomaker_core.nano.scenes import Scene, reference_scene
from photomaker_core.sampling.generation import Generation, GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from photomaker_core.training.dreambooth import IDENTIFIER, DreamBooth, personalise

_BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """One picture to draw."""

    prompt: EvaluationPrompt
    seed: int


Drawer = Callable[[Sequence[PromptSpec]], list[Image.Image]]


class Method(Protocol):
    """A way to draw a certain person."""

    @property
    def name(self) -> str:
        """The row in the table."""

    def personalise(self, person: Person) -> Drawer:
        """Make ``person`` known; what it returns draws them."""


@dataclass(slots=True)
class PhotoMakerMethod:
    """The ID photos through the ID encoder; ``photos`` is how many of them, ``average`` takes their mean."""

    model: PhotoMaker
    settings: GenerationSettings
    photos: int = 4
    name: str = "PhotoMaker"
    average: bool = False

    def personalise(self, person: Person) -> Drawer:
        features = self.model.encode_photos(person.photos[: self.photos])
        if self.average:
            features = features.mean(0, keepdim=True)
        return drawer(self.model, self.settings, person.class_word, features)


@dataclass(slots=True)
class TextOnlyMethod:
    """The base model without any knowledge of the person: what identity scores chance gives."""

    model: PhotoMaker
    settings: GenerationSettings
    name: str = "Text only"

    def personalise(self, person: Person) -> Drawer:
        return drawer(self.model, self.settings, person.class_word, None)


@dataclass(slots=True)
class DreamBoothMethod:
    """A LoRA trained for each person (Ruiz et al. 2023) on ``base``; ``load`` loads it anew for each."""

    base: str
    load: Callable[[], PhotoMaker]
    settings: GenerationSettings
    training: DreamBooth
    prior_folder: Path
    photos: int = 4
    name: str = "DreamBooth"

    def personalise(self, person: Person) -> Drawer:
        with tempfile.TemporaryDirectory() as folder:
            photos = person.photos[: self.photos]
            lora = personalise(
                self.base, photos, person.class_word, self.training, Path(folder), prior_folder=self.prior_folder
            )
            model = self.load()
            model.add_style_lora("dreambooth", lora)
        settings = replace(self.settings, style_loras=(*self.settings.style_loras, ("dreambooth", 1.0)))
        return drawer(model, settings, f"{IDENTIFIER} {person.class_word}", None)


@dataclass(slots=True)
class DrawnMethod:
    """True drawings of the procedural people, as a prompt asks: they show how well the judge can do at best."""

    name: str = "Real drawings"

    def personalise(self, person: Person) -> Drawer:
        identity = identity_number(drawn_number(person))

        def draw_all(wishes: Sequence[PromptSpec]) -> list[Image.Image]:
            return [draw(identity, _wanted_scene(wish))[0] for wish in wishes]

        return draw_all


def _wanted_scene(wish: PromptSpec) -> Scene:
    scene = reference_scene(Random(wish.seed))
    plain = replace(scene, framing="portrait", hat="none", glasses="none")
    wanted: dict[str, Any] = dict(wish.prompt.wants)
    return replace(plain, **wanted)


def drawer(model: PhotoMaker, settings: GenerationSettings, subject: str, id_features: Tensor | None) -> Drawer:
    """Draws with the step engine, several pictures at a time."""
    engine = StepEngine(model)

    def draw(wishes: Sequence[PromptSpec]) -> list[Image.Image]:
        pictures = []
        for start in range(0, len(wishes), _BATCH):
            generations = [
                engine.begin(
                    engine.condition(
                        _text(wish, subject, id_features, model.trigger_word), None, id_features, settings.style_loras
                    ),
                    replace(settings, seed=wish.seed),
                )
                for wish in wishes[start : start + _BATCH]
            ]
            pictures += drawn_to_the_end(engine, generations)
        return pictures

    return draw


def drawn_to_the_end(engine: StepEngine, generations: Sequence[Generation]) -> list[Image.Image]:
    """The pictures of generations that have begun together, with as many steps each."""
    while not generations[0].is_done:
        engine.step(generations)
    return [engine.finish(generation) for generation in generations]


def _text(wish: PromptSpec, subject: str, id_features: Tensor | None, trigger_word: str) -> str:
    return wish.prompt.about(subject if id_features is None else f"{subject} {trigger_word}")
