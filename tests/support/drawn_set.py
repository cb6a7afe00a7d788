"""A small set of drawn pictures in which everybody who stands in somebody's picture has pictures too."""

from __future__ import annotations

from pathlib import Path

import pytest

from photomaker_core.nano import portrait_set as sets
from photomaker_core.nano.portrait_set import PortraitSet

PEOPLE, PICTURES = 8, 10


def draw_small_set(work: Path) -> PortraitSet:
    """``PEOPLE`` people with ``PICTURES`` each, drawn into ``work`` by this process."""
    folder = sets._folder(work, PEOPLE, PICTURES, 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sets, "_COMPANIONS", PEOPLE)
        sets._make_arrays(folder, PEOPLE, PICTURES)
        for person in range(PEOPLE):
            sets._draw_identity(folder, 0, person)
    (folder / sets._FINISHED).touch()
    return sets.portrait_set(work, PEOPLE, PICTURES)
