"""One row a picture: what every stage reads and adds to, and its form in parquet.

A picture that is dropped keeps its row to the end, with the stage and the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from photomaker_core.models.face_recognition import Face


@dataclass(frozen=True, slots=True)
class PictureRow:
    """The facts known about one picture so far; a fact that no stage has found yet is ``None`` or empty.

    ``person`` is the name as the source gives it, ``source`` its path or URL, ``picture`` the content's SHA-256 under
    which the file lies in the store. ``face`` is the index into ``faces`` of the group's person and ``distance`` the
    mean L2 distance of its embedding to the others of the group. ``crop`` is in pixels of the picture; ``mask`` names
    the stored mask of the crop. ``shard`` and ``key`` say where the packed sample lies. ``caption`` holds the trigger
    behind the marked class word once the mark stage is through.
    """

    person: str
    source: str
    licence: str = ""
    picture: str = ""
    width: int = 0
    height: int = 0
    difference_hash: int = 0
    faces: tuple[Face, ...] = ()
    face: int | None = None
    distance: float | None = None
    crop: tuple[int, int, int, int] | None = None
    mask: str = ""
    mask_overlap: float | None = None
    caption: str = ""
    class_word: str = ""
    group_word: str = ""
    shard: str = ""
    key: str = ""
    dropped_by: str = ""
    reason: str = ""

    @property
    def is_kept(self) -> bool:
        return not self.dropped_by

    @property
    def chosen_face(self) -> Face:
        """The group's person; only after verification."""
        if self.face is None:
            raise ValueError(f"no face of {self.source} has been chosen yet")
        return self.faces[self.face]

    def drop(self, stage: str, reason: str) -> PictureRow:
        return replace(self, dropped_by=stage, reason=reason)


_FACE: Final = pa.struct(
    [
        *((name, pa.float32()) for name in ("left", "top", "right", "bottom", "score")),
        ("embedding", pa.list_(pa.float32())),
    ]
)
_TYPES: Final = {
    "width": pa.int32(),
    "height": pa.int32(),
    "difference_hash": pa.uint64(),
    "faces": pa.list_(_FACE),
    "face": pa.int32(),
    "distance": pa.float32(),
    "crop": pa.list_(pa.int32(), 4),
    "mask_overlap": pa.float32(),
}
SCHEMA: Final = pa.schema([(one.name, _TYPES.get(one.name, pa.string())) for one in fields(PictureRow)])


def to_arrow(rows: Sequence[PictureRow]) -> pa.Table:
    """The rows as one table of :data:`SCHEMA`."""
    columns = {name: [_plain(name, getattr(row, name)) for row in rows] for name in SCHEMA.names}
    return pa.table(columns, schema=SCHEMA)


def from_arrow(records: Iterable[dict[str, Any]]) -> list[PictureRow]:
    """The inverse of :func:`to_arrow`, from a table's ``to_pylist()``."""
    return [_row(record) for record in records]


def _plain(name: str, value: Any) -> Any:
    if name != "faces":
        return value
    return [
        {
            "left": face.left,
            "top": face.top,
            "right": face.right,
            "bottom": face.bottom,
            "score": face.score,
            "embedding": face.embedding,
        }
        for face in value
    ]


def _row(record: dict[str, Any]) -> PictureRow:
    faces = tuple(
        Face(**{**face, "embedding": np.asarray(face["embedding"], dtype=np.float32)}) for face in record["faces"]
    )
    crop = None if record["crop"] is None else tuple(record["crop"])
    return PictureRow(**{**record, "faces": faces, "crop": crop})
