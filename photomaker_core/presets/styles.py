"""Style templates: the words that a style adds to the prompt and to the negative prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from photomaker_core.errors import SettingsError

DEFAULT_NEGATIVE: Final = "lowres, blurry, deformed hands, extra fingers, watermark, signature, text"


@dataclass(frozen=True, slots=True)
class Style:
    """``prompt`` holds ``{prompt}`` where the user's own words go."""

    name: str
    prompt: str = "{prompt}"
    negative: str = ""

    def apply(self, prompt: str, negative: str | None) -> tuple[str, str | None]:
        """The styled prompt and negative prompt; ``None`` stays ``None`` where there is nothing to say."""
        parts = [part for part in (negative, self.negative) if part]
        return self.prompt.format(prompt=prompt), ", ".join(parts) if parts else negative


STYLES: Final[dict[str, Style]] = {
    style.name: style
    for style in (
        Style("None"),
        Style(
            "Cinematic",
            "film still of {prompt}, anamorphic lens, soft practical lights, shallow focus, muted colour grade",
            "drawing, cartoon, flat lighting, overexposed",
        ),
        Style(
            "Disney character",
            "{prompt} as a hero of a classic animated feature, big expressive eyes, clean shapes, warm light",
            "photo, realism, harsh shadows, grain",
        ),
        Style(
            "Digital art",
            "digital illustration of {prompt}, confident brushwork, rich colour, crisp detail",
            "photo, low detail, jpeg artefacts",
        ),
        Style(
            "Photographic",
            "photograph of {prompt}, 50 mm lens, natural skin texture, soft window light",
            "illustration, painting, 3d render, plastic skin",
        ),
        Style(
            "Fantasy art",
            "epic fantasy painting of {prompt}, ornate costume, glowing magic, far mountains",
            "modern clothes, photo, plain background",
        ),
        Style(
            "Neonpunk",
            "{prompt} in a neon-lit night city, magenta and cyan rim light, wet streets, haze",
            "daylight, pastel colours, rustic",
        ),
        Style("Enhance", "{prompt}, finely detailed, balanced light, sharp eyes", "noise, dull, flat, jpeg artefacts"),
        Style(
            "Comic book",
            "comic panel of {prompt}, bold ink outlines, halftone shading, dynamic angle",
            "photo, soft gradients, 3d render",
        ),
        Style(
            "Lowpoly",
            "low-poly model of {prompt}, flat facets, simple palette, isometric light",
            "photo, fine texture, noise",
        ),
        Style(
            "Line art",
            "line drawing of {prompt}, clean black contours on white paper, no shading",
            "photo, colour fill, gradients, noise",
        ),
    )
}


def style_named(name: str) -> Style:
    """Look a style up without regard to case; raises :class:`SettingsError` with the known names."""
    for style in STYLES.values():
        if style.name.casefold() == name.casefold():
            return style
    raise SettingsError("There is no style “{name}”. Known are: {known}.", name=name, known=", ".join(STYLES))
