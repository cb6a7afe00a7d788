"""Picture shapes: names, ratios and sizes."""

from __future__ import annotations

import pytest

from photomaker_core.errors import SettingsError
from photomaker_core.presets.aspect_ratios import ASPECTS, aspect_named


def test_every_aspect_is_found_by_its_name_and_by_its_ratio() -> None:
    for aspect in ASPECTS.values():
        assert aspect_named(aspect.name.upper()) is aspect
        assert aspect_named(aspect.name.split()[0]) is aspect


@pytest.mark.parametrize(
    ("ratio", "size"), [("16:9", (1344, 768)), ("9:16", (768, 1344)), ("4:3", (1152, 896)), ("3 : 2", (1216, 832))]
)
def test_another_ratio_takes_the_nearest_size_that_sdxl_was_trained_on(ratio: str, size: tuple[int, int]) -> None:
    aspect = aspect_named(ratio)
    assert (aspect.width, aspect.height) == size


@pytest.mark.parametrize("name", ["7:1", "1:7", "0:1", "square-ish", ""])
def test_what_is_no_aspect_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(SettingsError, match="9:7 landscape"):
        aspect_named(name)


def test_sizes_shrink_with_the_base_and_stay_multiples_of_eight() -> None:
    for aspect in ASPECTS.values():
        width, height = aspect.size_for(128)
        assert width % 8 == height % 8 == 0
        assert abs(width / height - aspect.width / aspect.height) < 0.15
