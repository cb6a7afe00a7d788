"""The options of the commands that load a model: its base and its adapter."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE

if TYPE_CHECKING:
    from photomaker_core.models.face_embedder import InsightFaceEmbedder


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--base``, ``--base-config``, ``--adapter`` and ``--insightface``."""
    parser.add_argument(
        "--base", default=str(NANO_BASE), help="SDXL: hub id, folder or single file (default: the nano model)"
    )
    parser.add_argument(
        "--base-config", type=Path, metavar="DIR", help="diffusers folder with the configuration of a single-file base"
    )
    parser.add_argument(
        "--adapter",
        type=Path,
        default=NANO_ADAPTER,
        help="photomaker-v1 or -v2 (default: nano's)",
    )
    parser.add_argument("--insightface", type=Path, metavar="DIR", help="folder of antelopev2, for V2 adapters")


def face_embedder(options: argparse.Namespace) -> InsightFaceEmbedder | None:
    """The face embedder that ``--insightface`` names."""
    from photomaker_core.models.face_embedder import InsightFaceEmbedder

    return InsightFaceEmbedder(options.insightface.expanduser()) if options.insightface else None
