"""Procedural portraits: people drawn with Pillow, deterministic by seed.

The nano model's whole world. An :class:`Identity` is what stays the same about a person in every
picture; a :class:`Scene` is what changes from picture to picture. Called by the training data
builder, the evaluation, and the demo's sample photos.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from photomaker_core.nano.drawing import HEAD_CENTRE, Canvas, Colour, mix, shade

SIZE_PX: Final = 128
FACE_RADII_PX: Final = (25.0, 28.0)

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
PLACES: Final = ("beach", "forest", "city", "space", "snow", "sunset", "room")
MEDIA: Final = ("photo", "sketch", "sepia", "painting")


@dataclass(frozen=True, slots=True)
class Identity:
    """What stays the same about a person. Fractions are in 0..1 unless said otherwise."""

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
    """What changes from picture to picture. ``background`` is a colour name or a place."""

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

    @property
    def is_id_photo(self) -> bool:
        """Whether the picture shows the person as they are, in colour."""
        return self.medium == "photo" and self.dyed_hair is None


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
    background = rng.choice(tuple(COLOURS)) if rng.random() < 0.5 else rng.choice(PLACES)
    return Scene(
        expression=rng.choice(EXPRESSIONS),
        glasses=rng.choices(GLASSES, (0.6, 0.22, 0.18))[0],
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
    )


def reference_scene(rng: Random) -> Scene:
    """A scene as people choose them for ID photos: a photograph with the face in plain view."""
    scene = random_scene(rng)
    return replace(
        scene,
        glasses="none",
        hat="none",
        dyed_hair=None,
        medium="photo",
        turn=scene.turn * 0.6,
        expression=rng.choice(("neutral", "smiling")),
    )


def face_centre(scene: Scene) -> tuple[float, float]:
    """Where the middle of eyes, nose and mouth is, in pixels from the picture's upper left corner.

    They lie within an upright ellipse of :data:`FACE_RADII_PX` around it.
    """
    return HEAD_CENTRE[0] + scene.shift[0] + 5 * scene.turn * scene.zoom, HEAD_CENTRE[1] + scene.shift[1] + 6


def draw(identity: Identity, scene: Scene) -> tuple[Image.Image, Image.Image]:
    """Draw the person: an RGB picture and its person mask (mode L, 0 or 255), both 128 x 128."""
    canvas = Canvas(SIZE_PX, scene.zoom, scene.tilt_deg, scene.shift)
    texture = Random(scene.texture_seed)
    _background(canvas, scene.background, texture)
    build = 0.72 if identity.age == "child" else 1.0
    skin = _skin(identity)
    hair = HAIR_COLOURS[scene.dyed_hair or identity.hair_colour]
    head = _Head(identity, scene, skin, hair)
    head.hair_behind(canvas)
    _body(canvas, scene, skin, build * (0.9 if identity.sex == "female" else 1.0))
    head.face(canvas)
    head.features(canvas, texture)
    head.hair_in_front(canvas)
    head.eyewear(canvas)
    head.hat(canvas)
    picture, mask = canvas.finish()
    return _rendered_as(scene.medium, picture, texture), mask


def _skin(identity: Identity) -> Colour:
    return shade(SKIN_TONES[identity.skin], 1 + identity.skin_shift)


def _background(canvas: Canvas, name: str, rng: Random) -> None:
    if name in COLOURS:
        colour = COLOURS[name]
        canvas.gradient(shade(colour, 1.05), shade(colour, 0.85))
        return
    _PLACES[name](canvas, rng)


def _beach(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((128, 204, 250), (200, 236, 255))
    horizon = rng.uniform(56, 70)
    canvas.rectangle(0, horizon, 128, 128, (34, 130, 190))
    canvas.rectangle(0, horizon + 26, 128, 128, (240, 218, 160))
    canvas.disc(rng.uniform(8, 120), 16, 8, (255, 244, 170))


def _forest(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((140, 190, 130), (60, 110, 60))
    for index in range(9):
        x = index * 16 + rng.uniform(-5, 5)
        canvas.rectangle(x - 3, 20, x + 3, 128, (86, 60, 36))
        canvas.disc(x, rng.uniform(8, 34), rng.uniform(12, 18), (30, rng.randint(84, 124), 40))


def _city(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((190, 206, 222), (226, 226, 226))
    x = 0.0
    while x < 128:
        width = rng.uniform(14, 24)
        top = rng.uniform(14, 60)
        tone = rng.randint(84, 136)
        canvas.rectangle(x, top, x + width, 128, (tone, tone, tone + 14))
        for row in range(int(top) + 5, 124, 9):
            for column in range(int(x) + 4, int(x + width) - 3, 7):
                canvas.rectangle(column, row, column + 3, row + 4, (250, 230, 140))
        x += width


def _space(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((6, 6, 26), (24, 12, 54))
    for _ in range(46):
        canvas.disc(rng.uniform(0, 128), rng.uniform(0, 128), rng.uniform(0.5, 1.4), (250, 250, 255))
    canvas.disc(rng.choice((18.0, 108.0)), rng.uniform(18, 36), 13, (220, 140, 90))


def _snow(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((176, 196, 220), (236, 240, 248))
    canvas.rectangle(0, 84, 128, 128, (250, 250, 255))
    for index in range(6):
        x = index * 25 + rng.uniform(-6, 6)
        canvas.polygon([(x - 11, 88), (x + 11, 88), (x, 44 + rng.uniform(-8, 8))], (70, 116, 96))
        canvas.polygon([(x - 5, 66), (x + 5, 66), (x, 50)], (246, 250, 255))
    for _ in range(40):
        canvas.disc(rng.uniform(0, 128), rng.uniform(0, 128), 1.2, (255, 255, 255))


def _sunset(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((94, 50, 122), (255, 150, 60))
    canvas.disc(rng.uniform(14, 114), 62, 14, (255, 226, 120))
    canvas.rectangle(0, 92, 128, 128, (56, 30, 60))


def _room(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((222, 204, 178), (206, 186, 158))
    canvas.rectangle(0, 104, 128, 128, (134, 92, 60))
    x = rng.choice((6.0, 90.0))
    canvas.rectangle(x, 14, x + 32, 58, (250, 250, 246))
    canvas.rectangle(x + 3, 17, x + 29, 55, (150, 206, 240))
    canvas.rectangle(x + 15, 17, x + 17, 55, (250, 250, 246))
    canvas.rectangle(x + 3, 35, x + 29, 37, (250, 250, 246))


_PLACES: Final = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "space": _space,
    "snow": _snow,
    "sunset": _sunset,
    "room": _room,
}


def _body(canvas: Canvas, scene: Scene, skin: Colour, build: float) -> None:
    colour = COLOURS[scene.clothes_colour]
    dark = shade(colour, 0.72) if scene.clothes_colour != "black" else (62, 62, 70)
    wide = 44 * build
    canvas.person_polygon([(-9, 20), (9, 20), (11, 50), (-11, 50)], shade(skin, 0.82), tilted=False)
    top = 44.0
    shoulders = [(-10, top), (-wide * 0.8, top + 7), (-wide, top + 16), (-wide - 4, 90)]
    outline = [*shoulders, *((-x, y) for x, y in reversed(shoulders))]
    if scene.clothes == "space suit":
        canvas.person_polygon(outline, shade(colour, 0.95), tilted=False)
        canvas.person_ellipse(0, 43, 24, 8, (205, 208, 214), tilted=False)
        canvas.person_ellipse(0, 41, 17, 5, shade(skin, 0.8), tilted=False)
        canvas.person_polygon([(-14, 56), (14, 56), (14, 70), (-14, 70)], (90, 94, 104), tilted=False)
        for x, light in ((-8, (220, 60, 50)), (0, (70, 200, 90)), (8, (70, 120, 230))):
            canvas.person_ellipse(x, 62, 2.6, 2.6, light, tilted=False)
        return
    canvas.person_polygon(outline, colour, tilted=False)
    if scene.clothes == "suit":
        canvas.person_polygon([(-11, top), (11, top), (0, 76)], (246, 246, 246), tilted=False)
        canvas.person_polygon([(-3, 50), (3, 50), (4.5, 70), (0, 76), (-4.5, 70)], (150, 30, 44), tilted=False)
        canvas.person_polygon([(-13, top - 1), (-8, top), (0, 78), (-6, 78), (-19, 58)], dark, tilted=False)
        canvas.person_polygon([(13, top - 1), (8, top), (0, 78), (6, 78), (19, 58)], dark, tilted=False)
    elif scene.clothes == "hoodie":
        canvas.person_ellipse(0, 44, 23, 8, dark, tilted=False)
        canvas.person_ellipse(0, 41, 13, 6, shade(skin, 0.82), tilted=False)
        canvas.line([(-7, 50), (-8, 68)], 1.6, (240, 240, 240), tilted=False)
        canvas.line([(7, 50), (8, 68)], 1.6, (240, 240, 240), tilted=False)
    elif scene.clothes == "dress":
        canvas.person_polygon([(-25, 47), (25, 47), (15, 62), (0, 66), (-15, 62)], skin, tilted=False)
        canvas.line([(-20, 46), (-17, 64)], 4, colour, tilted=False)
        canvas.line([(20, 46), (17, 64)], 4, colour, tilted=False)
    else:
        canvas.person_ellipse(0, 44, 13, 7, dark, tilted=False)
        canvas.person_ellipse(0, 42, 11, 6, shade(skin, 0.86), tilted=False)
        for y in (58, 68):
            canvas.person_ellipse(0, y, 1.3, 1.3, dark, tilted=False)


class _Head:
    """The head of one person in one scene; each method paints one layer, back to front."""

    def __init__(self, identity: Identity, scene: Scene, skin: Colour, hair: Colour) -> None:
        self.identity, self.scene, self.skin, self.hair_colour = identity, scene, skin, hair
        small = 0.9 if identity.age == "child" else 1.0
        self.rx = (22 + 8 * identity.face_width) * small
        self.ry = (28 + 7 * identity.face_length) * small
        self.eye_y = -2.0 if identity.age != "child" else 2.0
        self.line_colour = shade(skin, 0.62)

    def x(self, value: float) -> float:
        """Where a feature at ``value`` lands when the head is turned."""
        depth = max(0.0, 1 - (value / (self.rx * 1.15)) ** 2)
        return value + self.scene.turn * 8 * math.sqrt(depth)

    def outline(self, grow: float = 0.0) -> list[tuple[float, float]]:
        """The face's outline: round above, from pointed to square below."""
        points = []
        power = 1.6 + 1.5 * self.identity.jaw
        for step in range(56):
            angle = math.tau * step / 56
            cosine, sine = math.cos(angle), math.sin(angle)
            exponent = 2.0 if sine < 0 else power
            radius = (abs(cosine) ** exponent + abs(sine) ** exponent) ** (-1 / exponent)
            points.append((cosine * radius * (self.rx + grow), sine * radius * (self.ry + grow)))
        return points

    def hair_behind(self, canvas: Canvas) -> None:
        style, colour = self.identity.hair_style, shade(self.hair_colour, 0.82)
        rx, ry = self.rx, self.ry
        if style == "long":
            w = rx + 8
            canvas.person_polygon([(-w, -10), (-w - 3, 52), (w + 3, 52), (w, -10), (0, -ry - 8)], colour)
        elif style == "wavy":
            for side in (-1, 1):
                for step in range(6):
                    canvas.person_ellipse(side * (rx + 2 + 3 * (step % 2)), -14 + 12 * step, 11, 9, colour)
        elif style == "bob":
            canvas.person_ellipse(0, 4, rx + 10, ry + 3, colour)
        elif style == "curly":
            for step in range(15):
                angle = math.pi * (0.93 + 1.14 * step / 14)
                canvas.person_ellipse(math.cos(angle) * (rx + 6), math.sin(angle) * (ry + 5) - 2, 10, 10, colour)
        elif style == "bun":
            canvas.person_ellipse(0, -ry - 10, 12, 11, colour)
        elif style == "ponytail":
            canvas.person_polygon([(rx - 8, -22), (rx + 18, -12), (rx + 20, 40), (rx + 8, 46), (rx + 2, 2)], colour)

    def face(self, canvas: Canvas) -> None:
        ear = 5 + 5 * self.identity.ear_size
        for side in (-1, 1):
            canvas.person_ellipse(side * (self.rx + 1), 2, ear * 0.62, ear, shade(self.skin, 0.9))
        canvas.person_polygon(self.outline(), self.skin)
        side = 1 if self.scene.turn >= 0 else -1
        edge = [(x, y) for x, y in self.outline() if x * -side > 0]
        inner = [(x * 0.78, y * 0.98) for x, y in reversed(edge)]
        canvas.polygon([*edge, *inner], shade(self.skin, 0.92), tilted=True)

    def features(self, canvas: Canvas, rng: Random) -> None:
        self._cheeks(canvas, rng)
        self._beard(canvas)
        self._nose(canvas)
        self._mouth(canvas)
        self._eyes(canvas)
        self._brows(canvas)
        if self.identity.age == "old":
            self._wrinkles(canvas)

    def _cheeks(self, canvas: Canvas, rng: Random) -> None:
        blush = mix(self.skin, (226, 96, 90), 0.22)
        for side in (-1, 1):
            canvas.ellipse(self.x(side * self.rx * 0.58), 11, 6, 4, blush)
        if self.identity.freckles:
            spots = Random(7)
            for _ in range(22):
                x, y = spots.uniform(-self.rx * 0.7, self.rx * 0.7), spots.uniform(3, 13)
                canvas.ellipse(self.x(x), y, 0.9, 0.9, shade(self.skin, 0.66))

    def _eyes(self, canvas: Canvas) -> None:
        look = self.identity
        size = 3.6 + 1.8 * look.eye_size + (0.8 if look.age == "child" else 0)
        spacing = self.rx * (0.4 + 0.13 * look.eye_spacing)
        wide = {"surprised": 1.3, "laughing": 0.45, "angry": 0.75, "sad": 0.85}.get(self.scene.expression, 1.0)
        for side in (-1, 1):
            x, y = self.x(side * spacing), self.eye_y
            canvas.ellipse(x, y, size * 1.35, size * wide, (250, 250, 248))
            iris = min(size * 0.78, size * wide)
            gaze = self.scene.turn * 0.8
            canvas.ellipse(x + gaze, y, size * 0.78, iris, EYE_COLOURS[look.eye_colour])
            canvas.ellipse(x + gaze, y, size * 0.36, iris * 0.46, (12, 12, 14))
            lid = [(x - size * 1.4, y), (x, y - size * wide * 1.08), (x + size * 1.4, y)]
            canvas.curve(lid, 1.6 if look.sex == "male" else 2.2, (36, 26, 24))

    def _brows(self, canvas: Canvas) -> None:
        look = self.identity
        colour = shade(HAIR_COLOURS[look.hair_colour], 0.72)
        thickness = 1.4 + 3.0 * look.brow_thickness * (1.0 if look.sex == "male" else 0.6)
        spacing = self.rx * (0.4 + 0.13 * look.eye_spacing)
        lift = {"surprised": 4.0, "angry": -1.5}.get(self.scene.expression, 0.0)
        slant = (look.brow_slant - 0.5) * 4 + {"angry": 5.0, "sad": -5.0}.get(self.scene.expression, 0.0)
        for side in (-1, 1):
            inner, outer = spacing - 6, spacing + 7
            y = self.eye_y - 9 - lift
            points = [
                (self.x(side * inner), y + slant * 0.5),
                (self.x(side * (inner + outer) / 2), y - 1.5),
                (self.x(side * outer), y - slant * 0.5 + 1),
            ]
            canvas.curve(points, thickness, colour)

    def _nose(self, canvas: Canvas) -> None:
        look = self.identity
        width, length = 3.2 + 3.6 * look.nose_width, 8 + 6 * look.nose_length
        tip = self.x(0) + self.scene.turn * 2
        base = self.eye_y + length + 2
        bridge = self.x(0) - (1.5 if self.scene.turn >= 0 else -1.5)
        canvas.curve([(bridge, self.eye_y + 1), (bridge, base - 4), (tip - width, base)], 1.4, self.line_colour)
        canvas.ellipse(tip, base, width, 2.6, shade(self.skin, 0.88))
        canvas.curve([(tip - width, base), (tip, base + 2.6), (tip + width, base)], 1.5, self.line_colour)

    def _mouth(self, canvas: Canvas) -> None:
        look, expression = self.identity, self.scene.expression
        half = 6.5 + 5 * look.mouth_width
        x, y = self.x(0) + self.scene.turn, self.ry * 0.6
        lips = mix(self.skin, (190, 44, 60), 0.62 if look.sex == "female" else 0.36)
        full = 1.4 + 2.6 * look.lip_fullness
        if expression == "surprised":
            canvas.ellipse(x, y + 1, half * 0.55, 6.5, lips)
            canvas.ellipse(x, y + 1, half * 0.4, 4.8, (70, 16, 22))
        elif expression == "laughing":
            bow = [(x - half, y - 3), (x + half, y - 3), (x + half * 0.6, y + 5), (x, y + 7.5), (x - half * 0.6, y + 5)]
            canvas.polygon(bow, (92, 20, 26), tilted=True)
            canvas.polygon(
                [(x - half, y - 3), (x + half, y - 3), (x + half * 0.8, y), (x - half * 0.8, y)],
                (252, 252, 250),
                tilted=True,
            )
            canvas.curve([(x - half, y - 3), (x, y + 11), (x + half, y - 3)], full * 0.8, lips)
        else:
            bend = {"smiling": 6.0, "sad": -5.5, "angry": -2.5}.get(expression, 0.0)
            points = [(x - half, y - bend * 0.5), (x, y + bend), (x + half, y - bend * 0.5)]
            canvas.curve(points, full * 1.7, lips)
            canvas.curve(points, 1.2, shade(lips, 0.6))

    def _wrinkles(self, canvas: Canvas) -> None:
        for y in (-self.ry * 0.6, -self.ry * 0.48):
            canvas.curve([(self.x(-10), y), (self.x(0), y - 1.5), (self.x(10), y)], 1.1, shade(self.skin, 0.78))
        for side in (-1, 1):
            start = self.x(side * 8)
            canvas.curve([(start, 12), (start + side * 4, 16), (start + side * 4, 22)], 1.3, shade(self.skin, 0.74))

    def _beard(self, canvas: Canvas) -> None:
        beard, colour = self.identity.beard, shade(HAIR_COLOURS[self.identity.hair_colour], 0.86)
        mouth_x, mouth_y = self.x(0), self.ry * 0.6
        if beard in ("full", "stubble"):
            colour = colour if beard == "full" else mix(self.skin, colour, 0.38)
            lower = [(x, y) for x, y in self.outline(1.5) if y > 4]
            lower.sort(key=lambda point: point[0])
            upper = [
                (self.rx * 0.86, 5.0),
                (self.x(11), mouth_y - 7),
                (mouth_x, mouth_y - 8),
                (self.x(-11), mouth_y - 7),
                (-self.rx * 0.86, 5.0),
            ]
            canvas.person_polygon([*lower, *upper], colour)
        if beard in ("moustache", "goatee"):
            canvas.curve(
                [(mouth_x - 10, mouth_y - 2), (mouth_x, mouth_y - 8), (mouth_x + 10, mouth_y - 2)], 4.4, colour
            )
        if beard == "goatee":
            canvas.ellipse(mouth_x, self.ry - 4, 8, 7, colour)

    def hair_in_front(self, canvas: Canvas) -> None:
        style, colour, rx, ry = self.identity.hair_style, self.hair_colour, self.rx, self.ry
        light = shade(colour, 1.2) if sum(colour) > 120 else (62, 58, 64)
        if style == "bald":
            canvas.ellipse(self.x(-6), -ry * 0.72, 6, 3.4, mix(self.skin, (255, 255, 255), 0.35))
            return
        if style == "buzz":
            self._cap(canvas, colour, 1.5, -ry * 0.45, -ry * 0.5)
            return
        if style == "spiky":
            self._cap(canvas, colour, 3, -ry * 0.42, -ry * 0.52)
            for step in range(7):
                x = -rx + 2 * rx * step / 6
                top = -math.sqrt(max(0.0, 1 - (x / (rx * 1.1)) ** 2)) * ry
                canvas.person_polygon([(x - 6, top + 5), (x + 6, top + 5), (x * 1.15 + 2, top - 11)], colour)
            return
        if style == "curly":
            for step in range(9):
                angle = math.pi * (1.08 + 0.84 * step / 8)
                canvas.person_ellipse(math.cos(angle) * rx * 0.92, math.sin(angle) * ry * 0.9 - 2, 8.5, 8, colour)
            return
        parting = {"parted": rx * 0.55, "bob": 0.0, "long": 0.0, "short": -rx * 0.2}.get(style, rx * 0.25)
        fringe = {"bob": -ry * 0.3, "short": -ry * 0.5}.get(style, -ry * 0.62)
        self._cap(canvas, colour, 5, -ry * 0.1 if style in ("bob", "long", "wavy") else -ry * 0.28, fringe, parting)
        canvas.curve([(parting - 14, -ry * 0.8), (parting - 4, -ry * 0.98), (parting + 9, -ry * 0.86)], 2.2, light)
        if style in ("long", "bob", "wavy"):
            for side in (-1, 1):
                w = side * (rx + 3)
                reach = 14 if style == "bob" else 34
                canvas.person_polygon(
                    [(w * 0.86, -ry * 0.5), (w * 1.12, -8), (w * 1.15, reach), (w * 0.94, reach), (w * 0.92, 0)], colour
                )

    def _cap(
        self, canvas: Canvas, colour: Colour, grow: float, side_y: float, fringe: float, parting: float = 0.0
    ) -> None:
        arc = [(x, y) for x, y in self.outline(grow) if y <= side_y]
        arc.sort(key=lambda point: math.atan2(point[1] - side_y, point[0]))
        right, left = self.rx * 0.84, -self.rx * 0.84
        hairline = [
            (right, side_y),
            (self.x(self.rx * 0.62), fringe),
            (self.x(parting), fringe - 5),
            (self.x(-self.rx * 0.62), fringe + 2),
            (left, side_y),
        ]
        canvas.person_polygon([*arc, *hairline], colour)

    def eyewear(self, canvas: Canvas) -> None:
        kind = self.scene.glasses
        if kind == "none":
            return
        spacing = self.rx * (0.4 + 0.13 * self.identity.eye_spacing)
        frame = (24, 24, 28)
        for side in (-1, 1):
            x = self.x(side * spacing)
            if kind == "sunglasses":
                canvas.ellipse(x, self.eye_y + 0.5, 9.6, 8, frame)
                canvas.ellipse(x - 3, self.eye_y - 2.5, 2.4, 1.6, (104, 108, 120))
            else:
                canvas.ring(x, self.eye_y, 9, 8, 1.8, frame)
            canvas.line([(self.x(side * (spacing + 8)), self.eye_y - 1), (side * self.rx, self.eye_y - 2)], 1.8, frame)
        canvas.line([(self.x(-spacing) + 8, self.eye_y - 1), (self.x(spacing) - 8, self.eye_y - 1)], 1.8, frame)

    def hat(self, canvas: Canvas) -> None:
        kind, rx, ry = self.scene.hat, self.rx, self.ry
        if kind == "none":
            return
        colour = COLOURS[self.scene.hat_colour]
        dark = shade(colour, 0.7) if self.scene.hat_colour != "black" else (70, 70, 78)
        brow = -ry * 0.5
        w = rx + 5
        if kind == "hat":
            canvas.person_polygon(
                [(-w + 3, brow), (-w + 6, brow - 27), (0, brow - 30), (w - 6, brow - 27), (w - 3, brow)], colour
            )
            canvas.person_polygon([(-w + 3, brow), (-w + 4, brow - 7), (w - 4, brow - 7), (w - 3, brow)], dark)
            canvas.person_ellipse(0, brow, w + 13, 5, colour)
        elif kind == "cap":
            canvas.person_polygon([*_dome(w, brow, 25)], colour)
            side = 1 if self.scene.turn >= 0 else -1
            canvas.person_polygon(
                [
                    (-side * w * 0.4, brow - 4),
                    (side * (w + 16), brow - 1),
                    (side * (w + 14), brow + 5),
                    (-side * w * 0.3, brow + 3),
                ],
                dark,
            )
        elif kind == "beanie":
            canvas.person_polygon([*_dome(w, brow - 2, 28)], colour)
            canvas.person_polygon([(-w, brow - 7), (w, brow - 7), (w, brow + 3), (-w, brow + 3)], dark)
            canvas.person_ellipse(0, brow - 32, 6, 6, dark)
        else:
            points = [(-w, brow)]
            for step in range(5):
                x = -w + 2 * w * step / 4
                points.append((x, brow - 25))
                if step < 4:
                    points.append((x + w / 4, brow - 11))
            canvas.person_polygon([*points, (w, brow)], (246, 204, 60))
            canvas.person_polygon([(-w, brow - 6), (w, brow - 6), (w, brow), (-w, brow)], (214, 160, 30))
            for x in (-w * 0.6, 0.0, w * 0.6):
                canvas.person_ellipse(x, brow - 6, 2.6, 2.6, colour)


def _dome(half_width: float, base: float, height: float) -> list[tuple[float, float]]:
    return [
        (-half_width * math.cos(math.pi * step / 20), base - height * math.sin(math.pi * step / 20))
        for step in range(21)
    ]


def _rendered_as(medium: str, picture: Image.Image, rng: Random) -> Image.Image:
    if medium == "sketch":
        grey = ImageOps.grayscale(picture)
        lines = ImageOps.invert(grey.filter(ImageFilter.FIND_EDGES))
        lines = lines.point(lambda value: max(40, 255 - (255 - value) * 2))
        paper = grey.point(lambda value: 168 + value // 3)
        return ImageChops.multiply(paper, lines).convert("RGB")
    if medium == "sepia":
        grey = ImageOps.grayscale(picture)
        return ImageOps.colorize(grey, (48, 28, 12), (252, 232, 196), mid=(168, 124, 80))
    if medium == "painting":
        return _painted(picture, rng)
    return picture


def _painted(picture: Image.Image, rng: Random) -> Image.Image:
    bold = picture.filter(ImageFilter.ModeFilter(3))
    pixels = bold.load()
    assert pixels is not None
    brush = ImageDraw.Draw(bold, "RGBA")
    for _ in range(170):
        x, y = rng.randrange(SIZE_PX), rng.randrange(SIZE_PX)
        red, green, blue = shade(pixels[x, y], rng.choice((0.84, 1.2)))  # type: ignore[arg-type]
        length = rng.uniform(4, 8)
        brush.line([(x, y), (x + length, y - length)], fill=(red, green, blue, 150), width=2)
    return bold
