"""Captions for procedural portraits, from a small grammar. Called by the nano training data."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random
from typing import Final

from photomaker_core.nano.scenes import (
    BEARDS,
    CLOTHES,
    COLOURS,
    EYE_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    HAIR_STYLES,
    HATS,
    SKIN_TONES,
    Identity,
    Scene,
)

_MEDIUM_WORDS: Final = {
    "photo": ("a photo of", "portrait photo of", "a portrait of", "closeup photo of", ""),
    "sketch": ("a pencil sketch of", "a sketch of", "line drawing of"),
    "sepia": ("a sepia photo of", "an old photo of"),
    "painting": ("a painting of", "an oil painting of", "art of"),
}
_EXPRESSION_WORDS: Final = {
    "neutral": ("with a neutral face", "serious"),
    "smiling": ("smiling", "with a smile", "happy"),
    "sad": ("sad", "with a sad face"),
    "surprised": ("surprised", "with an open mouth"),
    "angry": ("angry", "with an angry face"),
    "laughing": ("laughing",),
}
_PLACE_WORDS: Final = {
    "beach": ("at the beach", "on the beach", "by the sea"),
    "forest": ("in the forest", "in a forest", "in the woods"),
    "city": ("in the city", "in front of a city", "on a street"),
    "space": ("in space", "in outer space", "under the stars at night"),
    "snow": ("in the snow", "in winter"),
    "sunset": ("at sunset", "in the evening"),
    "room": ("in a room", "at home", "in a house"),
    "mountains": ("in the mountains", "in front of a mountain"),
    "garden": ("in a garden", "among flowers"),
    "library": ("in a library", "in front of books"),
}
_ACTION_WORDS: Final = {
    "waving": ("waving", "waving a hand"),
    "cup": ("holding a cup", "with a cup of coffee", "drinking coffee"),
    "book": ("reading a book", "holding a book"),
    "flower": ("holding a flower", "with a flower"),
}
_FRAMING_WORDS: Final = {
    "half": ("half length photo of", "half length portrait of"),
    "full": ("full length photo of", "full body photo of"),
}
_TRIGGER: Final = "img"


def vocabulary_words() -> set[str]:
    """Every word that a caption can hold; the nano tokenizer knows them whole."""
    phrases = [
        *(
            phrase
            for group in (_MEDIUM_WORDS, _EXPRESSION_WORDS, _PLACE_WORDS, _ACTION_WORDS, _FRAMING_WORDS)
            for one in group.values()
            for phrase in one
        ),
        *(
            name
            for names in (BEARDS, CLOTHES, COLOURS, EYE_COLOURS, GLASSES, HAIR_COLOURS, HATS, SKIN_TONES)
            for name in names
        ),
        *(style for styles in HAIR_STYLES.values() for style in styles),
        "a an old bald stubble with wearing the in on and hair skin eyes beard background wall front of very short",
        "two three people group standing body",
    ]
    return set(re.findall(r"[a-z]+", " ".join(phrases)))


def caption(
    identity: Identity, scene: Scene, rng: Random, *, describe_identity: bool, everybody_meant: bool = False
) -> str:
    """A sentence about the picture in which each person's class word occurs once.

    With ``describe_identity`` it may also tell what belongs to the person (hair, skin, beard, age), as
    captions for text-to-image training do; the PhotoMaker stage leaves that to the ID images, and where several
    people are in the picture the trigger word follows the one who is meant, or each of them with ``everybody_meant``.
    People are named from left to right.
    """
    if scene.companions:
        meant = set[int]() if describe_identity else {scene.place}
        if everybody_meant and not describe_identity:
            meant = set(range(1 + len(scene.companions)))
        return _group_caption(identity, scene, rng, meant)
    subject = _subject(identity, rng, describe_identity)
    details = [*_person_details(identity, scene, rng, describe_identity), *_worn(scene, rng)]
    if rng.random() < 0.7:
        details.append(rng.choice(_EXPRESSION_WORDS[scene.expression]))
    if scene.action != "none" and rng.random() < 0.9:
        details.append(rng.choice(_ACTION_WORDS[scene.action]))
    rng.shuffle(details)
    if rng.random() < 0.85 and (_shows_colour(scene) or scene.background not in COLOURS):
        place = _place(scene, rng)
        details.insert(rng.choice((0, len(details), len(details))), place)
    medium = rng.choice(_MEDIUM_WORDS[scene.medium])
    if scene.medium == "photo" and scene.framing != "portrait":
        medium = rng.choice(_FRAMING_WORDS[scene.framing])
    parts = [f"{medium} {subject}".strip(), *(f"{rng.choice((' ', ' ', ', '))}{detail}" for detail in details)]
    return "".join(parts)


def _group_caption(identity: Identity, scene: Scene, rng: Random, meant: set[int]) -> str:
    """A sentence about several people; those at the places ``meant`` are left to their ID photos."""
    cast = [(one.identity, one.scene) for one in scene.companions]
    cast.insert(scene.place, (identity, scene))
    subjects = []
    for place, (person, part) in enumerate(cast):
        is_meant = place in meant
        subject = _subject(person, rng, not is_meant)
        if is_meant:
            subject += f" {_TRIGGER}"
        details = [
            *_person_details(person, part, rng, not is_meant),
            *_worn(replace(part, medium=scene.medium), rng),
            rng.choice(_EXPRESSION_WORDS[part.expression]),
        ]
        subjects.append(" ".join([subject, *rng.sample(details, min(len(details), rng.choice((0, 1, 1))))]))
    text = f"{', '.join(subjects[:-1])} and {subjects[-1]}"
    if rng.random() < 0.85 and (_shows_colour(scene) or scene.background not in COLOURS):
        text += f" {_place(scene, rng)}"
    return f"{rng.choice(_MEDIUM_WORDS[scene.medium])} {text}".strip()


def _subject(identity: Identity, rng: Random, describe_identity: bool) -> str:
    if describe_identity and identity.age == "old" and rng.random() < 0.6:
        return f"an old {identity.class_word}"
    return f"a {identity.class_word}"


def _person_details(identity: Identity, scene: Scene, rng: Random, describe_identity: bool) -> list[str]:
    colour = scene.dyed_hair or identity.hair_colour
    style = {"parted": "short", "buzz": "very short"}.get(identity.hair_style, identity.hair_style)
    has_hair = style != "bald"
    if not describe_identity:
        return [f"with {colour} hair"] if scene.dyed_hair and has_hair else []
    details = []
    if has_hair and rng.random() < 0.7:
        shape = f"{style} " if rng.random() < 0.5 and style not in ("bun", "ponytail", "bob") else ""
        details.append(f"with {shape}{colour} hair")
        if style in ("bun", "ponytail", "bob") and rng.random() < 0.4:
            details.append(f"with a {style}")
    elif not has_hair and rng.random() < 0.6:
        details.append("bald")
    if rng.random() < 0.35:
        details.append(f"with {identity.skin} skin")
    if identity.beard != "none" and rng.random() < 0.6:
        details.append(
            {"full": "with a beard", "stubble": "with stubble"}.get(identity.beard, f"with a {identity.beard}")
        )
    if rng.random() < 0.15:
        details.append(f"with {identity.eye_colour} eyes")
    return details


def _worn(scene: Scene, rng: Random) -> list[str]:
    details = []
    coloured = _shows_colour(scene)
    if scene.glasses != "none" and rng.random() < 0.85:
        article = rng.choice(("wearing", "with", "wearing the"))
        details.append(f"{article} {scene.glasses}")
    if scene.hat != "none" and rng.random() < 0.85:
        colour = f"{scene.hat_colour} " if rng.random() < 0.8 and coloured and scene.hat != "crown" else ""
        details.append(f"{rng.choice(('wearing', 'in', 'with'))} {_article(colour or scene.hat)} {colour}{scene.hat}")
    if rng.random() < 0.8:
        colour = f"{scene.clothes_colour} " if rng.random() < 0.85 and coloured else ""
        details.append(f"{rng.choice(('wearing', 'in'))} {_article(colour or scene.clothes)} {colour}{scene.clothes}")
    return details


def _place(scene: Scene, rng: Random) -> str:
    if scene.background in COLOURS:
        colour = scene.background
        return rng.choice(
            (
                f"on {_article(colour)} {colour} background",
                f"{colour} background",
                f"in front of {_article(colour)} {colour} wall",
            )
        )
    return rng.choice(_PLACE_WORDS[scene.background])


def _shows_colour(scene: Scene) -> bool:
    return scene.medium not in ("sketch", "sepia")


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
