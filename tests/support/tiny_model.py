"""The tiny random SDXL of ``tests/golden``, its adapter, and photos."""

from __future__ import annotations

from pathlib import Path

import torch

from photomaker_core.loading.base_model import Hardware

GOLDEN = Path(__file__).parents[1] / "golden"
TINY_BASE = GOLDEN / "tiny-sdxl"
TINY_ADAPTER = GOLDEN / "photomaker-v1.safetensors"
NEWTON = sorted((GOLDEN / "photos" / "newton_man").iterdir())
CPU = Hardware(torch.device("cpu"), torch.float32)
