"""Checked requests."""

from __future__ import annotations

import pytest

from photomaker_core.errors import SettingsError
from tests.support.draw_requests import asked


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("guidance", "Guidance must be between 0 and 20"),
        ("style_strength", "The style strength must be between 0 and 100"),
    ],
)
def test_numbers_that_are_none_are_refused(name: str, value: float, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        asked(**{name: value})
