"""The backgrounds of drawn people: plain colours and places. Called by the portraits."""

from __future__ import annotations

from random import Random
from typing import Final

from photomaker_core.nano.drawing import Canvas, shade
from photomaker_core.nano.scenes import COLOURS


def paint_background(canvas: Canvas, name: str, rng: Random) -> None:
    """Fill the picture with a colour of :data:`~photomaker_core.nano.scenes.COLOURS` or a place of ``PLACES``."""
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


def _mountains(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((120, 176, 232), (214, 232, 246))
    for index in range(4):
        x, top = 16 + index * 32 + rng.uniform(-8, 8), rng.uniform(14, 40)
        canvas.polygon([(x - 42, 100), (x + 42, 100), (x, top)], (104 + 8 * (index % 2), 112, 130))
        snow = top + 16
        share = (snow - top) / (100 - top) * 42
        canvas.polygon([(x - share, snow), (x + share, snow), (x, top)], (246, 248, 252))
    canvas.rectangle(0, 98, 128, 128, (110, 150, 84))


def _garden(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((170, 220, 250), (220, 242, 250))
    canvas.rectangle(0, 50, 128, 128, (84, 170, 72))
    for index in range(26):
        x, y = (index % 13) * 10 + rng.uniform(0, 8), 56 + 34 * (index // 13) + rng.uniform(0, 26)
        canvas.rectangle(x - 0.7, y, x + 0.7, y + 8, (40, 110, 48))
        canvas.disc(x, y, 3.6, rng.choice(((230, 60, 70), (250, 210, 60), (250, 250, 250), (230, 120, 200))))
        canvas.disc(x, y, 1.3, (250, 190, 40))


def _library(canvas: Canvas, rng: Random) -> None:
    canvas.gradient((110, 72, 44), (92, 58, 36))
    for shelf in range(5):
        bottom = 24 + shelf * 27
        canvas.rectangle(0, bottom, 128, bottom + 3, (64, 38, 22))
        x = 0.0
        while x < 128:
            width = rng.uniform(4, 8)
            colour = rng.choice(((150, 40, 40), (40, 80, 130), (50, 110, 70), (190, 150, 70), (110, 60, 120)))
            canvas.rectangle(x, bottom - rng.uniform(15, 21), x + width - 1, bottom - 0.5, colour)
            x += width


_PLACES: Final = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "space": _space,
    "snow": _snow,
    "sunset": _sunset,
    "room": _room,
    "mountains": _mountains,
    "garden": _garden,
    "library": _library,
}
