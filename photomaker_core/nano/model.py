"""Where the embedded nano model lies inside the package: an ordinary base folder and adapter file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_WEIGHTS: Final = Path(__file__).parent / "weights"

NANO_BASE: Final = _WEIGHTS / "base"
NANO_ADAPTER: Final = _WEIGHTS / "photomaker-v1.safetensors"
