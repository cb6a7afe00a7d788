"""A supersampled Pillow canvas with a person mask; the portraits paint on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

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
    """Paints in units of final pixels. Person shapes are placed from the head's centre.

    ``tilted`` shapes turn with the head; ``person_*`` shapes also go into the mask.
    """

    def __init__(self, size_px: int, zoom: float, tilt_deg: float, shift: Point) -> None:
        self._size_px = size_px
        side = size_px * _SUPERSAMPLING
        self._image = Image.new("RGB", (side, side))
        self._mask = Image.new("L", (side, side))
        self._draw = ImageDraw.Draw(self._image)
        self._mask_draw = ImageDraw.Draw(self._mask)
        self._zoom = zoom
        self._cosine = math.cos(math.radians(tilt_deg))
        self._sine = math.sin(math.radians(tilt_deg))
        self._centre = (HEAD_CENTRE[0] + shift[0], HEAD_CENTRE[1] + shift[1])

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

    def finish(self) -> tuple[Image.Image, Image.Image]:
        """The picture and the mask at their final size."""
        size = (self._size_px, self._size_px)
        mask = self._mask.resize(size, Image.Resampling.BOX).point(lambda value: 255 if value > 127 else 0)
        return self._image.reduce(_SUPERSAMPLING), mask

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
