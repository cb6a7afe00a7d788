"""The media of drawn pictures: pencil, sepia print, brush. Called by the portraits."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from photomaker_core.nano.drawing import shade


def rendered_as(medium: str, picture: Image.Image, rng: Random) -> Image.Image:
    """The RGB ``picture`` in a medium of :data:`~photomaker_core.nano.scenes.MEDIA`."""
    if medium == "sketch":
        return _sketched(picture)
    if medium == "sepia":
        grey = ImageOps.grayscale(picture)
        return ImageOps.colorize(grey, (48, 28, 12), (252, 232, 196), mid=(168, 124, 80))
    if medium == "painting":
        return _painted(picture, rng)
    return picture


def _sketched(picture: Image.Image) -> Image.Image:
    grey = ImageOps.grayscale(picture)
    edges = grey.filter(ImageFilter.FIND_EDGES)
    # The filter leaves the outermost pixels as they were.
    edges.paste(0, (0, 0, edges.width, 1))
    edges.paste(0, (0, edges.height - 1, edges.width, edges.height))
    edges.paste(0, (0, 0, 1, edges.height))
    edges.paste(0, (edges.width - 1, 0, edges.width, edges.height))
    lines = edges.point(lambda value: max(44, 255 - round(value * 1.7)))
    paper = grey.point(lambda value: 190 + value // 4)
    return ImageChops.multiply(paper, lines).convert("RGB")


def _painted(picture: Image.Image, rng: Random) -> Image.Image:
    bold = picture.filter(ImageFilter.ModeFilter(3))
    pixels = bold.load()
    assert pixels is not None
    brush = ImageDraw.Draw(bold, "RGBA")
    for _ in range(200):
        x, y = rng.randrange(picture.width), rng.randrange(picture.height)
        red, green, blue = shade(pixels[x, y], rng.choice((0.88, 1.14)))  # type: ignore[arg-type]
        length = rng.uniform(3, 7)
        brush.line([(x, y), (x + length, y - length)], fill=(red, green, blue, 110), width=2)
    return bold
