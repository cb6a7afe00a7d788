"""A drawn person's body, clothes, limbs and what they hold. Called by the portraits."""

from __future__ import annotations

from photomaker_core.nano.drawing import Canvas, Colour, Point, shade
from photomaker_core.nano.scenes import COLOURS, Identity, Scene

_TOP = 44.0
_HIPS = 138.0
_FEET = 262.0
_TROUSERS: Colour = (58, 62, 84)


class Body:
    """All of one person below the chin; each method paints one layer, back to front."""

    def __init__(self, identity: Identity, scene: Scene, skin: Colour) -> None:
        self.scene, self.skin = scene, skin
        self.colour = COLOURS[scene.clothes_colour]
        self.dark = shade(self.colour, 0.72) if scene.clothes_colour != "black" else (62, 62, 70)
        build = (0.72 if identity.age == "child" else 1.0) * (0.9 if identity.sex == "female" else 1.0)
        self.wide = 44 * build

    def legs(self, canvas: Canvas) -> None:
        """Seen in full-length pictures only, like the arms below the elbow."""
        if self.scene.clothes == "dress":
            canvas.person_polygon(
                [(-self.wide * 0.7, 110), (self.wide * 0.7, 110), (self.wide * 1.15, 200), (-self.wide * 1.15, 200)],
                self.colour,
                tilted=False,
            )
        trousers = {"suit": self.colour, "space suit": shade(self.colour, 0.95), "dress": self.skin}
        colour = trousers.get(self.scene.clothes, _TROUSERS)
        start = 200.0 if self.scene.clothes == "dress" else _HIPS - 6
        for side in (-1, 1):
            x = side * self.wide * 0.42
            canvas.person_line([(x, start), (x * 1.1, _FEET - 8)], self.wide * 0.56, colour)
            canvas.person_ellipse(x * 1.25, _FEET, self.wide * 0.4, 8, (44, 36, 34), tilted=False)

    def torso(self, canvas: Canvas) -> None:
        wide, colour, dark, skin = self.wide, self.colour, self.dark, self.skin
        canvas.person_polygon([(-9, 20), (9, 20), (11, 50), (-11, 50)], shade(skin, 0.82), tilted=False)
        half = [(-10, _TOP), (-wide * 0.8, _TOP + 7), (-wide, _TOP + 16), (-wide - 2, 90), (-wide * 0.84, _HIPS)]
        outline = [*half, *((-x, y) for x, y in reversed(half))]
        if self.scene.clothes == "space suit":
            canvas.person_polygon(outline, shade(colour, 0.95), tilted=False)
            canvas.person_ellipse(0, 43, 24, 8, (205, 208, 214), tilted=False)
            canvas.person_ellipse(0, 41, 17, 5, shade(skin, 0.8), tilted=False)
            canvas.person_polygon([(-14, 56), (14, 56), (14, 70), (-14, 70)], (90, 94, 104), tilted=False)
            for x, light in ((-8, (220, 60, 50)), (0, (70, 200, 90)), (8, (70, 120, 230))):
                canvas.person_ellipse(x, 62, 2.6, 2.6, light, tilted=False)
            return
        canvas.person_polygon(outline, colour, tilted=False)
        if self.scene.clothes == "suit":
            canvas.person_polygon([(-11, _TOP), (11, _TOP), (0, 76)], (246, 246, 246), tilted=False)
            tie: list[Point] = [(-3, 50), (3, 50), (4.5, 70), (0, 76), (-4.5, 70)]
            canvas.person_polygon(tie, (150, 30, 44), tilted=False)
            for side in (-1, 1):
                lapel = [(side * 13, _TOP - 1), (side * 8, _TOP), (0, 78), (side * 6, 78), (side * 19, 58)]
                canvas.person_polygon(lapel, dark, tilted=False)
        elif self.scene.clothes == "hoodie":
            canvas.person_ellipse(0, 44, 23, 8, dark, tilted=False)
            canvas.person_ellipse(0, 41, 13, 6, shade(skin, 0.82), tilted=False)
            canvas.line([(-7, 50), (-8, 68)], 1.6, (240, 240, 240), tilted=False)
            canvas.line([(7, 50), (8, 68)], 1.6, (240, 240, 240), tilted=False)
        elif self.scene.clothes == "dress":
            canvas.person_polygon([(-25, 47), (25, 47), (15, 62), (0, 66), (-15, 62)], skin, tilted=False)
            canvas.line([(-20, 46), (-17, 64)], 4, colour, tilted=False)
            canvas.line([(20, 46), (17, 64)], 4, colour, tilted=False)
        else:
            canvas.person_ellipse(0, 44, 13, 7, dark, tilted=False)
            canvas.person_ellipse(0, 42, 11, 6, shade(skin, 0.86), tilted=False)
            for y in (58, 68, 84, 100, 116):
                canvas.person_ellipse(0, y, 1.3, 1.3, dark, tilted=False)

    def arms(self, canvas: Canvas) -> None:
        """Both arms, hanging or busy with the scene's action, and what they hold."""
        wide = self.wide
        close = self.scene.framing == "portrait" and not self.scene.companions
        hands: dict[int, Point] = {side: (side * (wide + 5), 150.0) for side in (-1, 1) if not close}
        match self.scene.action:
            case "waving":
                hands[1] = (wide + 7, 24.0)
            case "cup":
                hands[1] = (24.0, 60.0)
            case "flower":
                hands[-1] = (-24.0, 66.0)
            case "book":
                hands |= {-1: (-21.0, 66.0), 1: (21.0, 66.0)}
        for side, (x, y) in hands.items():
            elbow = (side * (wide + (10 if y < 100 else 6)), 92.0 if y > 40 else 76.0)
            canvas.person_line([(side * (wide - 7), 62), elbow, (x, y)], 15, shade(self.colour, 0.86))
        self._held(canvas)
        for x, y in hands.values():
            canvas.person_ellipse(x, y, 7.5, 7.5, self.skin, tilted=False)
            if y < 30:
                for step in range(4):
                    reach = (x - 5 + 3.6 * step, y - 12 + abs(step - 1.5))
                    canvas.person_line([(x - 4 + 2.6 * step, y), reach], 3, self.skin)

    def _held(self, canvas: Canvas) -> None:
        match self.scene.action:
            case "cup":
                canvas.person_ellipse(33, 53, 5, 5, (230, 230, 232), tilted=False)
                canvas.person_polygon([(14, 44), (33, 44), (31, 64), (16, 64)], (248, 248, 250), tilted=False)
                canvas.person_ellipse(23.5, 44, 9.5, 2.6, (110, 66, 36), tilted=False)
            case "flower":
                canvas.person_line([(-24, 66), (-25, 44)], 2.4, (40, 120, 50))
                for x, y in ((-32, 42), (-19, 42), (-25.5, 36), (-25.5, 49)):
                    canvas.person_ellipse(x, y, 5.4, 5.4, (236, 70, 120), tilted=False)
                canvas.person_ellipse(-25.5, 42.5, 4, 4, (250, 206, 60), tilted=False)
            case "book":
                cover: list[Point] = [(-24, 50), (0, 54), (24, 50), (24, 76), (0, 80), (-24, 76)]
                canvas.person_polygon(cover, (152, 44, 40), tilted=False)
                canvas.person_polygon([(-1, 55), (1, 55), (1, 80), (-1, 80)], (96, 24, 24), tilted=False)
                canvas.person_polygon([(6, 58), (18, 56), (18, 60), (6, 62)], (240, 214, 130), tilted=False)
