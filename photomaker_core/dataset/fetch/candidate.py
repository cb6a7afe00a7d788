"""A picture that a source offers, and what the fetch stage makes of its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from photomaker_core.dataset.near_duplicates import difference_hash
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.rules import is_large_enough
from photomaker_core.images.picture_reading import UnreadablePictureError, read_picture

NAME: Final = "fetch"
SMALL_PICTURE: Final = "the shortest side is too small"
TOO_LARGE: Final = "too many bytes"
NO_NAME: Final = "no name"
_MOST_NAME: Final = 200


class RefusedError(Exception):
    """A candidate that is not taken; the message is the reason of the drop."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """``content`` is the picture, ``path`` where it lies; with neither it is to be downloaded from ``source``.

    ``refused`` is the reason why the source itself does not hand it over.
    """

    person: str
    source: str
    licence: str = ""
    content: bytes | None = None
    path: Path | None = None
    refused: str = ""


def taken(candidate: Candidate, content: bytes, store: PictureStore, max_bytes: int, min_side_px: int) -> PictureRow:
    """The candidate's row: its picture stored and measured, or the reason why not."""
    row = PictureRow(person=candidate.person[:_MOST_NAME], source=candidate.source, licence=candidate.licence)
    if not candidate.person.strip():
        return row.drop(NAME, NO_NAME)
    if len(content) > max_bytes:
        return row.drop(NAME, TOO_LARGE)

    def check_size(size: tuple[int, int]) -> None:
        if not is_large_enough(*size, min_side_px):
            raise RefusedError(SMALL_PICTURE)

    try:
        picture = read_picture(content, check_size=check_size)
    except (UnreadablePictureError, RefusedError) as error:
        return row.drop(NAME, str(error))
    return PictureRow(
        person=row.person,
        source=row.source,
        licence=row.licence,
        picture=store.put(content),
        width=picture.width,
        height=picture.height,
        difference_hash=difference_hash(picture),
    )
