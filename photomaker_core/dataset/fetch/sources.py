"""Sources of candidates: folders of pictures, WebDataset tars, and lists of URLs in CSV or parquet.

What a source says about names and paths is only ever data: nothing is unpacked, and nothing outside it is opened.
"""

from __future__ import annotations

import csv
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from photomaker_core.dataset.fetch.candidate import TOO_LARGE, Candidate
from photomaker_core.errors import UserError

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_MASK_SUFFIX: Final = ".mask.png"
_MOST_JSON_BYTES: Final = 65_536
_LINK: Final = "a link to outside of the source"
_UNSAFE: Final = "unsafe member path"


@dataclass(frozen=True, slots=True)
class FolderSource:
    """``folder/NAME/picture``; pictures that lie in ``folder`` itself are of a person named as the folder."""

    folder: Path
    licence: str
    max_bytes: int

    def candidates(self) -> Iterator[Candidate]:
        root = self.folder.resolve()
        if not root.is_dir():
            raise UserError(f"source.folder is {self.folder}, which is no folder.")
        yield from self._pictures(root, root, root.name)
        for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from self._pictures(root, Path(entry.path), entry.name)

    def _pictures(self, root: Path, folder: Path, person: str) -> Iterator[Candidate]:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in _SUFFIXES or path.name.endswith(_MASK_SUFFIX) or path.is_dir():
                continue
            yield self._candidate(root, path, _printable(person))

    def _candidate(self, root: Path, path: Path, person: str) -> Candidate:
        source = _printable(str(path.relative_to(root)))
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            return Candidate(person, source, self.licence, refused=_LINK)
        if path.is_symlink() and not path.is_file():
            return Candidate(person, source, self.licence, refused="a link to nothing")
        if path.stat().st_size > self.max_bytes:
            return Candidate(person, source, self.licence, refused=TOO_LARGE)
        return Candidate(person, source, self.licence, path=path)


@dataclass(frozen=True, slots=True)
class TarSource:
    """WebDataset tars.

    A picture's person is its ``json`` member's ``person``, else the folder it lies in, else its tar.
    """

    tars: Sequence[Path]
    licence: str
    max_bytes: int

    def candidates(self) -> Iterator[Candidate]:
        for path in self.tars:
            try:
                with tarfile.open(path, "r|*") as tar:
                    yield from self._members(path, tar)
            except (OSError, tarfile.TarError, EOFError) as error:
                if not path.is_file():
                    raise UserError(f"source.tars names {path}, which is no file.") from error
                yield Candidate(path.stem, path.name, self.licence, refused="the tar is damaged")

    def _members(self, path: Path, tar: tarfile.TarFile) -> Iterator[Candidate]:
        described: dict[str, dict[str, str]] = {}
        waiting: Candidate | None = None
        key = ""
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # else the stream remembers every member
            name = PurePosixPath(member.name)
            stem = str(name).partition(".")[0] if "/" not in member.name else f"{name.parent}/{name.name.split('.')[0]}"
            if stem != key:
                if waiting is not None:
                    yield _described(waiting, described.get(key, {}))
                waiting, key, described = None, stem, {}
            if name.suffix == ".json" and member.isreg() and member.size <= _MOST_JSON_BYTES:
                described[stem] = _description(tar, member)
            if name.suffix.lower() in _SUFFIXES and not member.name.endswith(_MASK_SUFFIX):
                if waiting is not None:
                    yield waiting
                waiting = self._candidate(path, tar, member, name)
        if waiting is not None:
            yield _described(waiting, described.get(key, {}))

    def _candidate(self, path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, name: PurePosixPath) -> Candidate:
        person = name.parent.name or path.stem
        source = f"{path.name}:{_printable(member.name)}"
        if name.is_absolute() or ".." in name.parts or "\\" in member.name:
            return Candidate(_printable(person), source, self.licence, refused=_UNSAFE)
        if not member.isreg():
            return Candidate(_printable(person), source, self.licence, refused="no regular file")
        if member.size > self.max_bytes:
            return Candidate(_printable(person), source, self.licence, refused=TOO_LARGE)
        file = tar.extractfile(member)
        assert file is not None
        return Candidate(_printable(person), source, self.licence, file.read())


@dataclass(frozen=True, slots=True)
class UrlListSource:
    """A CSV or parquet file with the columns ``person``, ``url`` and, if known, ``licence``."""

    path: Path
    licence: str

    def candidates(self) -> Iterator[Candidate]:
        for record in self._records():
            person, url = record.get("person") or "", record.get("url") or ""
            yield Candidate(_printable(person), _printable(url), record.get("licence") or self.licence)

    def _records(self) -> Iterator[dict[str, str]]:
        try:
            if self.path.suffix == ".parquet":
                with pq.ParquetFile(self.path) as file:
                    self._check(file.schema_arrow.names)
                    for chunk in file.iter_batches(columns=_columns(file.schema_arrow.names)):
                        yield from chunk.to_pylist()
                return
            with self.path.open(newline="", encoding="utf-8", errors="replace") as lines:
                reader = csv.DictReader(lines)
                self._check(reader.fieldnames or ())
                yield from reader
        except (OSError, csv.Error, pa.ArrowException) as error:
            raise UserError(f"source.urls, {self.path}, cannot be read: {error}") from error

    def _check(self, names: Sequence[str]) -> None:
        if not {"person", "url"} <= set(names):
            raise UserError(f"{self.path} must have the columns person and url; it has {', '.join(names) or 'none'}.")


def _columns(names: Sequence[str]) -> list[str]:
    return [name for name in ("person", "url", "licence") if name in names]


def _description(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, str]:
    file = tar.extractfile(member)
    assert file is not None
    try:
        values = json.loads(file.read())
    except ValueError:
        return {}
    return {key: value for key, value in values.items() if isinstance(value, str)} if isinstance(values, dict) else {}


def _described(candidate: Candidate, values: dict[str, str]) -> Candidate:
    return Candidate(
        _printable(values.get("person", candidate.person)),
        _printable(values.get("url", candidate.source)),
        values.get("licence", candidate.licence),
        candidate.content,
        refused=candidate.refused,
    )


def _printable(text: str) -> str:
    """Names as valid Unicode: file systems and tars hold bytes that are none."""
    return text.encode("utf-8", "replace").decode("utf-8")
