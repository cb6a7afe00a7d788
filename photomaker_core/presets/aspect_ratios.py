"""Aspect ratios: SDXL's resolution buckets, scaled to what the base model was trained at."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from photomaker_core.errors import SettingsError

_TRAINED_SIDE_PX: Final = 1024
_RATIO: Final = re.compile(r"([1-9]\d{0,3})\s*:\s*([1-9]\d{0,3})")
_NEAR: Final = math.log(1.2)


@dataclass(frozen=True, slots=True)
class Aspect:
    """A named picture shape; width and height are those for SDXL, whose area is about 1024 x 1024."""

    name: str
    width: int
    height: int

    def size_for(self, side_px: int, multiple: int = 8) -> tuple[int, int]:
        """Width and height of this shape for a base model trained at ``side_px`` squared."""
        if side_px == _TRAINED_SIDE_PX:
            return self.width, self.height
        scale = side_px / _TRAINED_SIDE_PX
        width, height = (max(multiple, round(edge * scale / multiple) * multiple) for edge in (self.width, self.height))
        return width, height


ASPECTS: Final[dict[str, Aspect]] = {
    aspect.name: aspect
    for aspect in (
        Aspect("1:1 square", 1024, 1024),
        Aspect("1:2 tall", 704, 1408),
        Aspect("11:21 tall", 704, 1344),
        Aspect("4:7 tall", 768, 1344),
        Aspect("3:5 tall", 768, 1280),
        Aspect("13:19 portrait", 832, 1216),
        Aspect("13:18 portrait", 832, 1152),
        Aspect("7:9 portrait", 896, 1152),
        Aspect("5:6 portrait", 896, 1088),
        Aspect("9:7 landscape", 1152, 896),
        Aspect("19:13 landscape", 1216, 832),
        Aspect("7:4 wide", 1344, 768),
        Aspect("21:10 wide", 1472, 704),
        Aspect("12:5 wide", 1536, 640),
    )
}
DEFAULT_ASPECT: Final = "1:1 square"


def aspect_named(name: str) -> Aspect:
    """Find an aspect by its name, or by a ratio (``9:7``): the nearest one, as SDXL was trained on these alone.

    Raises :class:`SettingsError` for anything else, and for a ratio beyond the longest and widest.
    """
    wanted = name.casefold().strip()
    for aspect in ASPECTS.values():
        if wanted in (aspect.name.casefold(), aspect.name.split()[0]):
            return aspect
    ratio = _RATIO.fullmatch(wanted)
    if ratio is not None:
        value = math.log(int(ratio[1]) / int(ratio[2]))
        nearest = min(ASPECTS.values(), key=lambda aspect: abs(_log_ratio(aspect) - value))
        if abs(_log_ratio(nearest) - value) <= _NEAR:
            return nearest
    raise SettingsError("There is no aspect “{name}”. Known are: {known}.", name=name, known=", ".join(ASPECTS))


def _log_ratio(aspect: Aspect) -> float:
    return math.log(aspect.width / aspect.height)
