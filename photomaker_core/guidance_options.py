"""The options of ``generate`` and ``evaluate`` that trade guidance for speed."""

from __future__ import annotations

import argparse


def add_guidance_levers(parser: argparse.ArgumentParser) -> None:
    """Declare ``--guidance-interval`` and ``--guidance-every``."""
    parser.add_argument(
        "--guidance-interval",
        type=float,
        nargs=2,
        default=[0.0, 1.0],
        metavar=("FROM", "TO"),
        help="guide only between these fractions of the steps; the others take half the work (default: 0 1)",
    )
    parser.add_argument(
        "--guidance-every",
        type=int,
        default=1,
        metavar="N",
        help="compute guidance anew in every Nth step only; the others take half the work (default: 1)",
    )
