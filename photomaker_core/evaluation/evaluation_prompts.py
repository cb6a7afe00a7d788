"""Prompts of an evaluation: the paper's five kinds, in our own wording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from photomaker_core.errors import UserError

PERSON: Final = "{person}"


@dataclass(frozen=True, slots=True)
class EvaluationPrompt:
    """``text`` has ``{person}`` in the person's place. ``wants`` are attributes that the picture must show,
    by the names of :data:`~photomaker_core.nano.attributes.ATTRIBUTES`."""

    kind: str
    text: str
    wants: Mapping[str, str] = field(default_factory=dict)

    def about(self, subject: str) -> str:
        return self.text.replace(PERSON, subject)


PHOTO_PROMPTS: Final = tuple(
    EvaluationPrompt(kind, text)
    for kind, texts in {
        "expression": (
            "a photo of a {person} laughing out loud",
            "a photo of a {person} in tears",
            "a photo of a {person} shouting in anger",
            "a portrait of a {person} with a calm smile",
            "a portrait of a {person} looking surprised",
            "a closeup of a {person} deep in thought",
            "a closeup of a {person} yawning",
            "a photo of a {person} winking at the camera",
        ),
        "attribute": (
            "a photo of a {person} with long curly hair",
            "a photo of a {person} with bright blue hair",
            "a photo of a {person} with short grey hair",
            "a portrait of a {person} as a child",
            "a portrait of a very old {person}",
            "a photo of a {person} with freckles and green eyes",
            "a photo of a {person} with a ponytail",
            "a portrait of a {person} with face paint",
        ),
        "decoration": (
            "a photo of a {person} wearing round glasses",
            "a photo of a {person} wearing sunglasses and a scarf",
            "a photo of a {person} in a red hat",
            "a photo of a {person} wearing a golden crown",
            "a photo of a {person} wearing large headphones",
            "a {person} wearing a space suit",
            "a {person} in a black tailored suit",
            "a {person} wearing a knitted yellow sweater",
        ),
        "action": (
            "a {person} riding a bicycle",
            "a {person} playing the violin",
            "a {person} reading a book at a desk",
            "a {person} cooking in a kitchen",
            "a {person} running through rain",
            "a {person} holding a small dog",
            "a {person} drinking a cup of tea",
            "a {person} dancing at a party",
        ),
        "background": (
            "a photo of a {person} at the beach",
            "a photo of a {person} in a snowy forest",
            "a photo of a {person} in a busy street at night",
            "a photo of a {person} on top of a mountain",
            "a photo of a {person} in an old library",
            "a photo of a {person} in a field of sunflowers",
            "a photo of a {person} in front of the pyramids",
            "a photo of a {person} under the northern lights",
        ),
    }.items()
    for text in texts
)

PORTRAIT_PROMPTS: Final = tuple(
    EvaluationPrompt(kind, text, wants)
    for kind, wants_by_text in {
        "expression": {
            "a photo of a {person} smiling": {"expression": "smiling"},
            "a photo of a {person} laughing": {"expression": "laughing"},
            "a portrait of a {person} with a sad face": {"expression": "sad"},
            "a portrait of a {person}, surprised": {"expression": "surprised"},
            "a photo of a {person} with an angry face": {"expression": "angry"},
            "closeup photo of a {person} with a neutral face": {"expression": "neutral"},
            "a photo of a {person} smiling on a green background": {"expression": "smiling", "background": "green"},
            "a photo of a {person} with an open mouth wearing a red shirt": {
                "expression": "surprised",
                "clothes": "shirt",
                "clothes_colour": "red",
            },
        },
        "decoration": {
            "a photo of a {person} wearing glasses": {"glasses": "glasses"},
            "a photo of a {person} wearing sunglasses": {"glasses": "sunglasses"},
            "a photo of a {person} in a red hat": {"hat": "hat", "hat_colour": "red"},
            "a portrait of a {person} wearing a blue beanie": {"hat": "beanie", "hat_colour": "blue"},
            "a photo of a {person} with a green cap": {"hat": "cap", "hat_colour": "green"},
            "a portrait of a {person} wearing a crown": {"hat": "crown"},
            "a photo of a {person} in a white hat wearing sunglasses": {
                "hat": "hat",
                "hat_colour": "white",
                "glasses": "sunglasses",
            },
            "a photo of a {person} wearing glasses on a yellow background": {
                "glasses": "glasses",
                "background": "yellow",
            },
        },
        "clothing": {
            "a photo of a {person} wearing a blue shirt": {"clothes": "shirt", "clothes_colour": "blue"},
            "a photo of a {person} in a black suit": {"clothes": "suit", "clothes_colour": "black"},
            "a portrait of a {person} in an orange hoodie": {"clothes": "hoodie", "clothes_colour": "orange"},
            "a photo of a {person} wearing a space suit": {"clothes": "space suit"},
            "a photo of a {person} in a pink dress": {"clothes": "dress", "clothes_colour": "pink"},
            "a photo of a {person} wearing a white shirt": {"clothes": "shirt", "clothes_colour": "white"},
            "a photo of a {person} wearing a purple hoodie at the beach": {
                "clothes": "hoodie",
                "clothes_colour": "purple",
                "background": "beach",
            },
            "a photo of a {person} in a grey suit on a red background": {
                "clothes": "suit",
                "clothes_colour": "grey",
                "background": "red",
            },
        },
        "background": {
            "a photo of a {person} at the beach": {"background": "beach"},
            "a photo of a {person} in the forest": {"background": "forest"},
            "a portrait of a {person} in the city": {"background": "city"},
            "a photo of a {person} in the snow": {"background": "snow"},
            "a portrait of a {person} at sunset": {"background": "sunset"},
            "a photo of a {person} wearing a space suit in space": {"clothes": "space suit", "background": "space"},
            "a photo of a {person} in a room": {"background": "room"},
            "a photo of a {person} on a yellow background": {"background": "yellow"},
            "a photo of a {person} in front of a blue wall": {"background": "blue"},
            "a photo of a {person}, pink background": {"background": "pink"},
        },
        "medium": {
            "a pencil sketch of a {person}": {"medium": "sketch"},
            "a sketch of a {person} wearing glasses": {"medium": "sketch", "glasses": "glasses"},
            "a sepia photo of a {person}": {"medium": "sepia"},
            "an old photo of a {person} in a hat": {"medium": "sepia", "hat": "hat"},
            "a painting of a {person}": {"medium": "painting"},
            "an oil painting of a {person} in the forest": {"medium": "painting", "background": "forest"},
        },
    }.items()
    for text, wants in wants_by_text.items()
)


def load_prompts(path: Path) -> tuple[EvaluationPrompt, ...]:
    """Read a YAML list of ``{kind, text}`` or plain texts; raises :class:`UserError` when it is something else."""
    try:
        entries = yaml.safe_load(path.read_text())
        prompts = tuple(
            EvaluationPrompt("own", entry) if isinstance(entry, str) else EvaluationPrompt(**entry) for entry in entries
        )
    except OSError as error:
        raise UserError(f"The prompts in {path} cannot be read: {error.strerror}.") from error
    except (TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is no list of prompts: {error}") from error
    for prompt in prompts:
        if prompt.text.count(PERSON) != 1:
            raise UserError(f"The prompt “{prompt.text}” must hold {PERSON} once.")
    if not prompts:
        raise UserError(f"{path} holds no prompts.")
    return prompts
