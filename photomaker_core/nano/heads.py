"""A drawn person's head: face, features, hair, glasses and hats. Called by the portraits."""

from __future__ import annotations

import math
from random import Random
from typing import Final

from photomaker_core.nano.drawing import Canvas, Colour, mix, shade
from photomaker_core.nano.scenes import COLOURS, EYE_COLOURS, HAIR_COLOURS, Identity, Scene

_LASHES: Final[Colour] = (36, 26, 24)
_TEETH: Final[Colour] = (252, 252, 250)
_TEAR: Final[Colour] = (110, 186, 244)


class Head:
    """The head of one person in one scene; each method paints one layer, back to front."""

    def __init__(self, identity: Identity, scene: Scene, skin: Colour, hair: Colour) -> None:
        self.identity, self.scene, self.skin, self.hair_colour = identity, scene, skin, hair
        small = 0.9 if identity.age == "child" else 1.0
        self.rx = (22 + 8 * identity.face_width) * small
        self.ry = (28 + 7 * identity.face_length) * small
        self.eye_y = -2.0 if identity.age != "child" else 2.0
        self.line_colour = shade(skin, 0.62)

    def x(self, value: float) -> float:
        """The x coordinate of a feature at ``value`` when the head is turned."""
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

    def features(self, canvas: Canvas) -> None:
        self._cheeks(canvas)
        self._beard(canvas)
        self._nose(canvas)
        self._mouth(canvas)
        self._eyes(canvas)
        self._brows(canvas)
        if self.identity.age == "old":
            self._wrinkles(canvas)

    def _cheeks(self, canvas: Canvas) -> None:
        happy = self.scene.expression in ("smiling", "laughing")
        blush = mix(self.skin, (226, 86, 80), 0.42 if happy else 0.2)
        for side in (-1, 1):
            canvas.ellipse(self.x(side * self.rx * 0.58), 11, 6, 4, blush)
        if self.identity.freckles:
            spots = Random(7)
            for _ in range(22):
                x, y = spots.uniform(-self.rx * 0.7, self.rx * 0.7), spots.uniform(3, 13)
                canvas.ellipse(self.x(x), y, 0.9, 0.9, shade(self.skin, 0.66))

    def _eyes(self, canvas: Canvas) -> None:
        look, expression = self.identity, self.scene.expression
        size = 3.8 + 1.8 * look.eye_size + (0.8 if look.age == "child" else 0)
        spacing = self.rx * (0.4 + 0.13 * look.eye_spacing)
        wide = {"surprised": 1.4, "angry": 0.62, "sad": 0.8, "smiling": 0.88}.get(expression, 1.0)
        lash = 1.7 if look.sex == "male" else 2.3
        for side in (-1, 1):
            x, y = self.x(side * spacing), self.eye_y
            if expression == "laughing":
                canvas.curve([(x - size * 1.4, y + 2), (x, y - size * 1.5), (x + size * 1.4, y + 2)], 2.6, _LASHES)
                continue
            canvas.ellipse(x, y, size * 1.35, size * wide, (250, 250, 248))
            iris = min(size * 0.82, size * wide)
            gaze = self.scene.turn * 0.8
            canvas.ellipse(x + gaze, y, size * 0.82, iris, EYE_COLOURS[look.eye_colour])
            canvas.ellipse(x + gaze, y, size * 0.38, iris * 0.48, (12, 12, 14))
            droop = side * {"sad": 2.4, "angry": -2.4}.get(expression, 0.0)
            lid = [(x - size * 1.4, y - droop * 0.6), (x, y - size * wide * 1.08), (x + size * 1.4, y + droop * 0.6)]
            canvas.curve(lid, lash, _LASHES)
        if expression == "sad":
            x, y = self.x(spacing) + 3, self.eye_y + size + 4
            canvas.polygon([(x, y - 5), (x + 2.6, y + 1), (x - 2.6, y + 1)], _TEAR, tilted=True)
            canvas.ellipse(x, y + 1.4, 2.7, 2.7, _TEAR)

    def _brows(self, canvas: Canvas) -> None:
        look, expression = self.identity, self.scene.expression
        colour = shade(HAIR_COLOURS[look.hair_colour], 0.72)
        thickness = 1.6 + 2.8 * look.brow_thickness * (1.0 if look.sex == "male" else 0.6)
        spacing = self.rx * (0.4 + 0.13 * look.eye_spacing)
        lift = {"surprised": 5.5, "angry": -2.5, "laughing": 1.5}.get(expression, 0.0)
        slant = (look.brow_slant - 0.5) * 4 + {"angry": 8.0, "sad": -8.0}.get(expression, 0.0)
        bow = 4.0 if expression == "surprised" else 1.5
        for side in (-1, 1):
            inner, outer = spacing - 6, spacing + 7
            y = self.eye_y - 9 - lift
            points = [
                (self.x(side * inner), y + slant * 0.5),
                (self.x(side * (inner + outer) / 2), y - bow),
                (self.x(side * outer), y - slant * 0.5 + 1),
            ]
            canvas.curve(points, thickness + (0.8 if expression == "angry" else 0), colour)

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
        half = 7.0 + 5 * look.mouth_width
        x, y = self.x(0) + self.scene.turn, self.ry * 0.6
        lips = mix(self.skin, (190, 44, 60), 0.66 if look.sex == "female" else 0.44)
        full = 1.5 + 2.4 * look.lip_fullness
        if expression == "surprised":
            canvas.ellipse(x, y + 1, half * 0.6 + full * 0.3, 8.2, lips)
            canvas.ellipse(x, y + 1, half * 0.45, 6.2, (66, 14, 20))
        elif expression == "laughing":
            bow = [
                (x - half, y - 4),
                (x + half, y - 4),
                (x + half * 0.7, y + 4.5),
                (x, y + 8),
                (x - half * 0.7, y + 4.5),
            ]
            canvas.polygon(bow, (92, 20, 26), tilted=True)
            canvas.polygon(
                [(x - half, y - 4), (x + half, y - 4), (x + half * 0.84, y + 0.5), (x - half * 0.84, y + 0.5)],
                _TEETH,
                tilted=True,
            )
            canvas.curve([(x - half, y - 4), (x, y + 12.5), (x + half, y - 4)], full * 0.8, lips)
        elif expression == "angry":
            corners = [(x - half, y - 3), (x + half, y - 3), (x + half * 0.92, y + 3.4), (x - half * 0.92, y + 3.4)]
            canvas.polygon(corners, _TEETH, tilted=True)
            canvas.line([*corners, corners[0]], 1.2 + full * 0.5, shade(lips, 0.7))
            for step in (-0.5, 0.0, 0.5):
                canvas.line([(x + half * step, y - 3), (x + half * step, y + 3)], 0.8, (150, 140, 140))
            canvas.line([(x - half, y + 0.3), (x + half, y + 0.3)], 0.8, (150, 140, 140))
        else:
            bend = {"smiling": 8.0, "sad": -8.0}.get(expression, 0.0)
            points = [(x - half, y - bend * 0.5), (x, y + bend), (x + half, y - bend * 0.5)]
            canvas.curve(points, full * 1.7, lips)
            canvas.curve(points, 1.3, shade(lips, 0.55))

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
