"""Packs kept pictures into WebDataset shards, one a batch, that ``photomaker train`` reads.

A sample has the members ``jpg`` (the crop), ``mask.png`` (white where the person is), ``txt`` (the caption with the
trigger word) and ``json`` (person, source, licence, class word, the face's box in the crop). People lie together.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from webdataset.writer import TarWriter

from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.stages.crop import face_in_crop

NAME: Final = "pack"
_JPEG_QUALITY: Final = 95


@dataclass(frozen=True, slots=True)
class PackStage:
    """Shards are written whole or not at all, and equal rows give equal bytes."""

    store: PictureStore
    folder: Path

    def run(self, rows: list[PictureRow], index: int) -> list[PictureRow]:
        shard = f"{index:06d}.tar"
        packed = [replace(row, shard=shard, key=sample_key(row)) if row.is_kept else row for row in rows]
        if not any(row.is_kept for row in packed):
            return packed
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{shard}.partial"
        with partial.open("wb") as file:
            writer = TarWriter(file, user="", group="", mtime=0, encoder=False)
            for row in packed:
                if row.is_kept:
                    writer.write(self._sample(row))
            writer.close()
        partial.replace(self.folder / shard)
        return packed

    def _sample(self, row: PictureRow) -> dict[str, str | bytes]:
        picture = io.BytesIO()
        self.store.open(row.picture).crop(row.crop).save(picture, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        described = {
            "person": row.person,
            "source": row.source,
            "licence": row.licence,
            "class_word": row.group_word,
            "face": [round(edge, 1) for edge in face_in_crop(row)],
        }
        return {
            "__key__": row.key,
            "jpg": picture.getvalue(),
            "mask.png": self.store.get(row.mask),
            "txt": row.caption.encode(),
            "json": json.dumps(described, ensure_ascii=False, sort_keys=True).encode(),
        }


def person_key(person: str) -> str:
    """A name for files and tar members, whatever the person is called."""
    return hashlib.sha256(person.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def sample_key(row: PictureRow) -> str:
    """``PERSON_PICTURE``; the part before the underscore is the same for all of a person."""
    return f"{person_key(row.person)}_{hashlib.sha256(f'{row.source}|{row.picture}'.encode()).hexdigest()[:16]}"
