"""A supersampled Pillow canvas with a mask for each person; the portraits paint on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

_SUPERSAMPLING: Final = 3
_ELLIPSE_STEPS: Final = 28
HEAD_CENTRE: Final[Point] = (64.0, 60.0)


def shade(colour: Colour, factor: float) -> Colour:
    """Scale a colour's brightness; values are clipped to 0..255."""
    red, green, blue = (min(255, max(0, round(value * factor))) for value in colour)
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend two colours; ``share`` in 0..1 is how much of the second there is."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Canvas:
    """Paints in units of final pixels. A person's shapes are placed from the centre of their head.

    ``tilted`` shapes turn with the head; ``person_*`` shapes also go into the person's mask, and whoever is painted
    later covers those before.
    """

    def __init__(self, size_px: int) -> None:
        self._size_px = size_px
        side = size_px * _SUPERSAMPLING
        self._image = Image.new("RGB", (side, side))
        self._draw = ImageDraw.Draw(self._image)
        self._masks: list[Image.Image] = []
        self._mask_draw: ImageDraw.ImageDraw
        self._zoom, self._cosine, self._sine, self._centre = 1.0, 1.0, 0.0, HEAD_CENTRE

    def begin_person(self, centre: Point, zoom: float, tilt_deg: float) -> None:
        """Begin the next person, to whom all later shapes belong.

        The head is at ``centre`` (pixels) and ``zoom`` times as large.
        """
        self._masks.append(Image.new("L", self._image.size))
        self._mask_draw = ImageDraw.Draw(self._masks[-1])
        self._centre, self._zoom = centre, zoom
        self._cosine, self._sine = math.cos(math.radians(tilt_deg)), math.sin(math.radians(tilt_deg))

    def gradient(self, top: Colour, bottom: Colour) -> None:
        column = Image.new("RGB", (1, 2))
        column.putpixel((0, 0), top)
        column.putpixel((0, 1), bottom)
        self._image.paste(column.resize(self._image.size, Image.Resampling.BILINEAR))

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self._draw.rectangle([value * _SUPERSAMPLING for value in (left, top, right, bottom)], fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        box = [value * _SUPERSAMPLING for value in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.ellipse(box, fill=colour)

    def polygon(self, points: Sequence[Point], colour: Colour, *, tilted: bool = False) -> None:
        """A shape of the scene, or with ``tilted`` one that lies on the head."""
        placed = (
            self._placed(points, tilted=True)
            if tilted
            else [(x * _SUPERSAMPLING, y * _SUPERSAMPLING) for x, y in points]
        )
        self._draw.polygon(placed, fill=colour)

    def person_polygon(self, points: Sequence[Point], colour: Colour, *, tilted: bool = True) -> None:
        placed = self._placed(points, tilted)
        self._draw.polygon(placed, fill=colour)
        self._mask_draw.polygon(placed, fill=255)

    def person_ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, *, tilted: bool = True) -> None:
        self.person_polygon(_ellipse(x, y, rx, ry), colour, tilted=tilted)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self._draw.polygon(self._placed(_ellipse(x, y, rx, ry), tilted=True), fill=colour)

    def ring(self, x: float, y: float, rx: float, ry: float, width: float, colour: Colour) -> None:
        circle = _ellipse(x, y, rx, ry)
        self.line([*circle, circle[0]], width, colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour, *, tilted: bool = True) -> None:
        pen = max(1, round(width * self._zoom * _SUPERSAMPLING))
        self._draw.line(self._placed(points, tilted), fill=colour, width=pen, joint="curve")

    def curve(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A quadratic Bézier curve through its end points, bent towards the middle one."""
        (x0, y0), (x1, y1), (x2, y2) = points
        path = []
        for step in range(11):
            t = step / 10
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
            path.append((a * x0 + b * x1 + c * x2, a * y0 + b * y1 + c * y2))
        self.line(path, width, colour)

    def person_line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A limb: upright, with round ends."""
        self._limb(self._draw, points, width, colour)
        self._limb(self._mask_draw, points, width, 255)

    def finish(self) -> tuple[Image.Image, list[Image.Image]]:
        """The picture and each person's mask at their final size."""
        masks: list[Image.Image] = []
        covered = Image.new("L", self._image.size)
        for mask in reversed(self._masks):
            seen = ImageChops.subtract(mask, covered)
            covered = ImageChops.lighter(covered, mask)
            small = seen.resize((self._size_px, self._size_px), Image.Resampling.BOX)
            masks.insert(0, small.point(lambda value: 255 if value > 127 else 0))
        return self._image.reduce(_SUPERSAMPLING), masks

    def _limb(self, draw: ImageDraw.ImageDraw, points: Sequence[Point], width: float, fill: Colour | int) -> None:
        placed = self._placed(points, tilted=False)
        radius = max(1.0, width * self._zoom * _SUPERSAMPLING / 2)
        draw.line(placed, fill=fill, width=round(2 * radius))
        for x, y in placed:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def _placed(self, points: Sequence[Point], tilted: bool) -> list[Point]:
        cosine, sine = (self._cosine, self._sine) if tilted else (1.0, 0.0)
        cx, cy = self._centre
        scale = self._zoom
        return [
            (
                (cx + scale * (x * cosine - y * sine)) * _SUPERSAMPLING,
                (cy + scale * (x * sine + y * cosine)) * _SUPERSAMPLING,
            )
            for x, y in points
        ]


def _ellipse(x: float, y: float, rx: float, ry: float) -> list[Point]:
    steps = (math.tau * step / _ELLIPSE_STEPS for step in range(_ELLIPSE_STEPS))
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in steps]
