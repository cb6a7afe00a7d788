"""The people and scenes of drawn pictures: the values that each can have, and the random choice among them.

An :class:`Identity` is what stays the same about a person in every picture; a :class:`Scene` is what changes from
picture to picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from photomaker_core.nano.drawing import Colour

SKIN_TONES: Final[dict[str, Colour]] = {
    "pale": (250, 222, 204),
    "fair": (238, 196, 168),
    "tan": (214, 164, 122),
    "olive": (190, 148, 104),
    "brown": (148, 98, 66),
    "dark": (92, 58, 42),
}
HAIR_COLOURS: Final[dict[str, Colour]] = {
    "black": (28, 24, 26),
    "brown": (98, 60, 32),
    "blonde": (232, 196, 104),
    "red": (186, 62, 24),
    "grey": (158, 158, 162),
    "white": (236, 234, 228),
    "blue": (44, 92, 214),
    "green": (40, 150, 70),
    "pink": (240, 120, 180),
    "purple": (126, 54, 176),
}
NATURAL_HAIR: Final = ("black", "brown", "blonde", "red", "grey", "white")
EYE_COLOURS: Final[dict[str, Colour]] = {
    "brown": (92, 54, 26),
    "blue": (64, 124, 206),
    "green": (70, 150, 84),
    "grey": (128, 136, 146),
}
COLOURS: Final[dict[str, Colour]] = {
    "red": (206, 38, 40),
    "blue": (38, 84, 202),
    "green": (36, 144, 70),
    "yellow": (244, 208, 48),
    "orange": (240, 130, 34),
    "purple": (128, 52, 172),
    "pink": (244, 134, 184),
    "black": (30, 30, 34),
    "white": (242, 242, 242),
    "grey": (138, 140, 146),
}
HAIR_STYLES: Final[dict[str, tuple[str, ...]]] = {
    "male": ("bald", "buzz", "short", "parted", "curly", "spiky", "long"),
    "female": ("short", "bob", "long", "wavy", "curly", "bun", "ponytail"),
}
BEARDS: Final = ("none", "none", "moustache", "goatee", "full", "stubble")
EXPRESSIONS: Final = ("neutral", "smiling", "sad", "surprised", "angry", "laughing")
GLASSES: Final = ("none", "glasses", "sunglasses")
HATS: Final = ("none", "hat", "cap", "beanie", "crown")
CLOTHES: Final = ("shirt", "suit", "hoodie", "dress", "space suit")
PLACES: Final = ("beach", "forest", "city", "space", "snow", "sunset", "room", "mountains", "garden", "library")
ACTIONS: Final = ("none", "waving", "cup", "book", "flower")
FRAMINGS: Final = ("portrait", "half", "full")
MEDIA: Final = ("photo", "sketch", "sepia", "painting")


@dataclass(frozen=True, slots=True)
class Identity:
    """The features of a person that stay the same. Fractions are in 0..1 unless said otherwise."""

    sex: str
    age: str
    skin: str
    skin_shift: float
    hair_style: str
    hair_colour: str
    eye_colour: str
    face_width: float
    face_length: float
    jaw: float
    brow_thickness: float
    brow_slant: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_fullness: float
    ear_size: float
    eye_size: float
    eye_spacing: float
    freckles: bool
    beard: str

    @property
    def class_word(self) -> str:
        if self.age == "child":
            return "boy" if self.sex == "male" else "girl"
        return "man" if self.sex == "male" else "woman"


@dataclass(frozen=True, slots=True)
class Scene:
    """The features that change from picture to picture. ``background`` is a colour name or a place.

    ``companions`` stand beside the person, who is at place ``place`` from the left; background, medium and framing
    are those of the person's own scene.
    """

    expression: str = "neutral"
    glasses: str = "none"
    hat: str = "none"
    hat_colour: str = "black"
    clothes: str = "shirt"
    clothes_colour: str = "blue"
    background: str = "grey"
    dyed_hair: str | None = None
    turn: float = 0.0
    tilt_deg: float = 0.0
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    medium: str = "photo"
    texture_seed: int = 0
    framing: str = "portrait"
    action: str = "none"
    companions: tuple[Companion, ...] = ()
    place: int = 0

    @property
    def is_id_photo(self) -> bool:
        """True where the picture shows one person as they are, in colour and large enough to be known by."""
        return self.medium == "photo" and self.dyed_hair is None and self.framing != "full" and not self.companions


@dataclass(frozen=True, slots=True)
class Companion:
    """Somebody else in a picture; ``number`` is theirs, under which their own pictures are found."""

    number: int
    identity: Identity
    scene: Scene


def random_identity(rng: Random) -> Identity:
    sex = rng.choice(("male", "female"))
    age = rng.choices(("child", "adult", "old"), (0.2, 0.6, 0.2))[0]
    skin = rng.choice(tuple(SKIN_TONES))
    if age == "old":
        hair_colour = rng.choice(("grey", "white", "white", "grey", "brown"))
    else:
        hair_colour = rng.choice(("black", "brown", "blonde", "red", "black", "brown", "blonde"))
    styles = HAIR_STYLES[sex]
    if age == "child":
        styles = tuple(style for style in styles if style not in ("bald", "bun"))
    beard = rng.choice(BEARDS) if sex == "male" and age != "child" else "none"
    return Identity(
        sex=sex,
        age=age,
        skin=skin,
        skin_shift=rng.uniform(-0.08, 0.08),
        hair_style=rng.choice(styles),
        hair_colour=hair_colour,
        eye_colour=rng.choice(tuple(EYE_COLOURS)),
        face_width=rng.random(),
        face_length=rng.random(),
        jaw=rng.random(),
        brow_thickness=rng.random(),
        brow_slant=rng.random(),
        nose_width=rng.random(),
        nose_length=rng.random(),
        mouth_width=rng.random(),
        lip_fullness=rng.random(),
        ear_size=rng.random(),
        eye_size=rng.random(),
        eye_spacing=rng.random(),
        freckles=rng.random() < 0.2,
        beard=beard,
    )


def random_scene(rng: Random) -> Scene:
    """Anything that one person can be shown in; single portraits are the bulk."""
    background = rng.choice(tuple(COLOURS)) if rng.random() < 0.45 else rng.choice(PLACES)
    return Scene(
        expression=rng.choice(EXPRESSIONS),
        glasses=rng.choices(GLASSES, (0.64, 0.2, 0.16))[0],
        hat=rng.choices(HATS, (0.55, 0.15, 0.1, 0.1, 0.1))[0],
        hat_colour=rng.choice(tuple(COLOURS)),
        clothes=rng.choice(CLOTHES),
        clothes_colour=rng.choice(tuple(COLOURS)),
        background=background,
        dyed_hair=rng.choice(tuple(HAIR_COLOURS)) if rng.random() < 0.15 else None,
        turn=rng.uniform(-1, 1),
        tilt_deg=rng.gauss(0, 4),
        zoom=rng.uniform(0.92, 1.1),
        shift=(rng.gauss(0, 2.5), rng.gauss(0, 2)),
        medium=rng.choices(MEDIA, (0.7, 0.1, 0.1, 0.1))[0],
        texture_seed=rng.randrange(1 << 30),
        framing=rng.choices(FRAMINGS, (0.86, 0.09, 0.05))[0],
        action=rng.choices(ACTIONS, (0.8, 0.05, 0.05, 0.05, 0.05))[0],
    )


def reference_scene(rng: Random) -> Scene:
    """A scene as people choose them for ID photos: a photograph that tells a part of the person.

    The head is turned either way; some wear glasses or a hat, and some stand further off.
    """
    scene = random_scene(rng)
    return replace(
        scene,
        glasses=rng.choices(GLASSES, (0.8, 0.14, 0.06))[0],
        hat=scene.hat if rng.random() < 0.4 else "none",
        dyed_hair=None,
        medium="photo",
        expression=rng.choice(("neutral", "smiling", "neutral", "smiling", "laughing")),
        framing=rng.choices(FRAMINGS[:2], (0.9, 0.1))[0],
        action="none",
    )
