"""Procedural pictures of people, drawn with Pillow, deterministic by seed: the nano model's whole world.

Called by the training data, the evaluation, the benchmark, and the demo's sample photos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from PIL import Image

from photomaker_core.nano.backgrounds import paint_background
from photomaker_core.nano.bodies import Body
from photomaker_core.nano.drawing import HEAD_CENTRE, Canvas, Colour, Point, shade
from photomaker_core.nano.heads import Head
from photomaker_core.nano.media import rendered_as
from photomaker_core.nano.scenes import HAIR_COLOURS, SKIN_TONES, Identity, Scene

SIZE_PX: Final = 128
FACE_RADII_PX: Final = (25.0, 30.0)
_HEADS: Final[dict[str, tuple[Point, float]]] = {
    "portrait": (HEAD_CENTRE, 1.0),
    "half": ((64.0, 42.0), 0.62),
    "full": ((64.0, 24.0), 0.36),
}
_PEOPLE_ZOOM: Final = {2: 0.66, 3: 0.48}


@dataclass(frozen=True, slots=True)
class DrawnPerson:
    """One person in a picture: ``mask`` (mode L, 0 or 255) and the ``box`` around it (left, top, right, bottom)."""

    identity: Identity
    mask: Image.Image
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FaceEllipse:
    """The upright ellipse around eyes, nose and mouth, in pixels from the picture's upper left corner."""

    x: float
    y: float
    rx: float
    ry: float


def draw(identity: Identity, scene: Scene) -> tuple[Image.Image, Image.Image]:
    """Draw the person: an RGB picture and their mask (mode L, 0 or 255), both 128 x 128."""
    picture, people = draw_people(identity, scene)
    return picture, people[scene.place].mask


def draw_people(identity: Identity, scene: Scene) -> tuple[Image.Image, list[DrawnPerson]]:
    """The same picture with everybody in it, from left to right."""
    canvas = Canvas(SIZE_PX)
    texture = Random(scene.texture_seed)
    paint_background(canvas, scene.background, texture)
    cast = _cast(identity, scene)
    for one, part in cast:
        centre, zoom = _head(part, len(cast))
        canvas.begin_person(centre, zoom, part.tilt_deg)
        _paint_person(canvas, one, part)
    picture, masks = canvas.finish()
    people = [
        DrawnPerson(one, mask, mask.getbbox() or (0, 0, 0, 0)) for (one, _), mask in zip(cast, masks, strict=True)
    ]
    return rendered_as(scene.medium, picture, texture), people


def face_ellipse(scene: Scene) -> FaceEllipse:
    """The ellipse of the person's face."""
    return face_ellipses(scene)[scene.place]


def face_ellipses(scene: Scene) -> list[FaceEllipse]:
    """The ellipses of everybody's faces, from left to right."""
    parts = [one.scene for one in scene.companions]
    parts.insert(scene.place, scene)
    found = []
    for place, part in enumerate(parts):
        (x, y), zoom = _head(replace(part, place=place, framing=scene.framing), len(parts))
        rx, ry = FACE_RADII_PX
        found.append(FaceEllipse(x + 5 * part.turn * zoom, y + 6 * zoom, rx * zoom, ry * zoom))
    return found


def portrait_box(place: int, people: int) -> tuple[float, float, float, float]:
    """The square (left, top, right, bottom) in pixels that shows one of several ``people`` as a portrait would.

    It may reach beyond the picture.
    """
    (x, y), zoom = _placed_head(place, people)
    left, top = x - HEAD_CENTRE[0] * zoom, y - HEAD_CENTRE[1] * zoom
    return left, top, left + SIZE_PX * zoom, top + SIZE_PX * zoom


def _cast(identity: Identity, scene: Scene) -> list[tuple[Identity, Scene]]:
    """Everybody with a scene of their own, from left to right."""
    others = [
        (one.identity, replace(one.scene, companions=scene.companions, framing=scene.framing))
        for one in scene.companions
    ]
    cast = [*others[: scene.place], (identity, scene), *others[scene.place :]]
    return [(one, replace(part, place=place)) for place, (one, part) in enumerate(cast)]


def _head(scene: Scene, people: int) -> tuple[Point, float]:
    """The head's centre in pixels, and the factor of its size."""
    if people == 1:
        (x, y), zoom = _HEADS[scene.framing]
    else:
        (x, y), zoom = _placed_head(scene.place, people)
    return (x + scene.shift[0] * min(1.0, zoom), y + scene.shift[1]), zoom * scene.zoom


def _placed_head(place: int, people: int) -> tuple[Point, float]:
    return (SIZE_PX * (place + 0.5) / people, 58.0), _PEOPLE_ZOOM[people]


def _paint_person(canvas: Canvas, identity: Identity, scene: Scene) -> None:
    skin = _skin(identity)
    head = Head(identity, scene, skin, HAIR_COLOURS[scene.dyed_hair or identity.hair_colour])
    body = Body(identity, scene, skin)
    head.hair_behind(canvas)
    body.legs(canvas)
    body.torso(canvas)
    head.face(canvas)
    head.features(canvas)
    head.hair_in_front(canvas)
    head.eyewear(canvas)
    head.hat(canvas)
    body.arms(canvas)


def face_box(identity: Identity, scene: Scene) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom) around the face's outline without hair and ears, in pixels, upright."""
    head = Head(identity, scene, _skin(identity), HAIR_COLOURS[identity.hair_colour])
    (x, y), zoom = _head(scene, 1 + len(scene.companions))
    half_width, half_height = head.rx * zoom, head.ry * zoom
    return x - half_width, y - half_height, x + half_width, y + half_height


def draw_background(scene: Scene) -> Image.Image:
    """The picture 128 x 128 without anybody in it."""
    canvas, texture = Canvas(SIZE_PX), Random(scene.texture_seed)
    paint_background(canvas, scene.background, texture)
    return rendered_as(scene.medium, canvas.finish()[0], texture)


def _skin(identity: Identity) -> Colour:
    return shade(SKIN_TONES[identity.skin], 1 + identity.skin_shift)
