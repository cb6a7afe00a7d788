"""The options of ``generate`` and ``evaluate`` that trade a little of the picture for speed."""

from __future__ import annotations

import argparse

from photomaker_core.cli.option_types import finite


def add_speed_levers(parser: argparse.ArgumentParser) -> None:
    """Declare ``--guidance-interval``, ``--guidance-every`` and ``--cache-every``."""
    parser.add_argument(
        "--guidance-interval",
        type=finite,
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
    parser.add_argument(
        "--cache-every",
        type=int,
        default=1,
        metavar="N",
        help="compute the whole UNet in every Nth step only, its outer blocks in the others (default: 1)",
    )
