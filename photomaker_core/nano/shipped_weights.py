"""Paths of the embedded nano model inside the package: an ordinary base folder, adapter file and judge."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_WEIGHTS: Final = Path(__file__).parent / "weights"

NANO_BASE: Final = _WEIGHTS / "base"
NANO_ADAPTER: Final = _WEIGHTS / "photomaker-v1.safetensors"
NANO_JUDGE: Final = _WEIGHTS / "judge.safetensors"
