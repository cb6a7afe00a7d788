"""The protocol of a stage, and the loop over a batch for stages that look at single pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from photomaker_core.dataset.rows import PictureRow
from photomaker_core.images.picture_reading import UnreadablePictureError

_LOGGER = logging.getLogger(__name__)


class Stage(Protocol):
    """A pure step: equal rows and equal settings give equal rows."""

    def run(self, rows: list[PictureRow], index: int) -> list[PictureRow]:
        """The batch ``index`` with what this stage finds; dropped rows pass through untouched."""


def each_picture(stage: str, rows: list[PictureRow], treat: Callable[[PictureRow], PictureRow]) -> list[PictureRow]:
    """Apply ``treat`` to the kept rows. A picture at which it fails is dropped with the reason, the others go on."""
    return [_treated(stage, row, treat) if row.is_kept else row for row in rows]


def _treated(stage: str, row: PictureRow, treat: Callable[[PictureRow], PictureRow]) -> PictureRow:
    try:
        return treat(row)
    except UnreadablePictureError as error:
        return row.drop(stage, str(error))
    except (RuntimeError, ValueError, ArithmeticError) as error:
        _LOGGER.exception("stage %s failed at %s of %s", stage, row.source, row.person)
        return row.drop(stage, f"failed: {type(error).__name__}")
