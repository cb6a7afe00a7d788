"""The public library: its names, and what importing it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import photomaker_core

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "accelerate", "peft")


def test_every_public_name_is_there() -> None:
    for name in photomaker_core.__all__:
        assert getattr(photomaker_core, name).__module__.startswith("photomaker_core.")
    assert set(photomaker_core.__all__) <= set(dir(photomaker_core))
    with pytest.raises(AttributeError, match="no attribute 'draw'"):
        _ = photomaker_core.draw


def test_importing_the_library_loads_no_torch_until_something_is_used() -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import photomaker_core; photomaker_core.SettingsError"]
    root = Path(photomaker_core.__file__).parents[1]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in told.splitlines()}
    assert "photomaker_core" in imported
    assert not imported & set(HEAVY)


def test_the_library_names_no_setting_of_the_bot() -> None:
    """The bot adds its own advice to what the library says."""
    sources = Path(photomaker_core.__file__).parent.rglob("*.py")
    found = [path.name for path in sources if re.search(r"PHOTOMAKER_[A-Z]|DISCORD_", path.read_text())]
    assert found == []
