"""Types of the commands' options: numbers that are numbers, files that can be read, folders that can be written to."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from photomaker_core.errors import UserError


def finite(text: str) -> float:
    """A number; neither NaN nor infinity, which would run through a whole picture."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is no number") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"“{text}” is no finite number")
    return number


def percent(text: str) -> float:
    """A number from 0 to 100."""
    number = finite(text)
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text} is no percentage: it lies between 0 and 100")
    return number


def not_negative(text: str) -> float:
    """A finite number from 0 on."""
    number = finite(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def check_counts(options: argparse.Namespace, *names: str) -> None:
    """Raise :class:`UserError` for a count below 1."""
    for name in names:
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1; {getattr(options, name)} is not.")


def output_folder(path: Path) -> Path:
    """Make a folder to write to; raises :class:`UserError` where that cannot be, before hours of work are lost."""
    path = path.expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"{path} is a file. Name a folder to write to.") from error
    except OSError as error:
        raise UserError(f"The folder {path} cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"The folder {path} cannot be written to.")
    return path
