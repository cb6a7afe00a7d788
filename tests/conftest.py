"""The tiny random SDXL that most tests draw with, loaded once per test process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)

from photomaker_core.adapter import load_adapter  # noqa: E402
from photomaker_core.base import Hardware, load_base  # noqa: E402
from photomaker_core.model import PhotoMaker  # noqa: E402
from photomaker_core.quiet import hush_libraries  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"
TINY_BASE = GOLDEN / "tiny-sdxl"
TINY_ADAPTER = GOLDEN / "photomaker-v1.safetensors"
NEWTON = sorted((GOLDEN / "photos" / "newton_man").iterdir())
CPU = Hardware(torch.device("cpu"), torch.float32)

hush_libraries()


@pytest.fixture(scope="session")
def tiny_model() -> PhotoMaker:
    return PhotoMaker(load_base(str(TINY_BASE), CPU), load_adapter(TINY_ADAPTER))
