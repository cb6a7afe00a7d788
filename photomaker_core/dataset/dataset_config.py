"""The configuration of ``photomaker dataset``, given by one YAML file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from photomaker_core.dataset.near_duplicates import MAX_HASH_DISTANCE
from photomaker_core.dataset.rules import MIN_FACE_PX, MIN_FACE_SHARE, MIN_SIDE_PX
from photomaker_core.errors import UserError
from photomaker_core.models.face_verification import DEFAULT_FACTOR

_Section = TypeVar("_Section")

_PLAIN_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
}
ENGINES: Final = ("local", "ray")


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """The source of candidate pictures: exactly one of ``folder``, ``tars`` and ``urls``.

    ``licence`` is the licence of pictures for which the source gives none.
    """

    folder: str | None = None
    tars: tuple[str, ...] = ()
    urls: str | None = None
    licence: str = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.folder, self.tars, self.urls))) != 1:
            raise UserError("source must name exactly one of folder, tars and urls.")


@dataclass(frozen=True, slots=True)
class DownloadConfig:
    """Settings for downloads. ``private_addresses`` allows loopback and private networks, which tests need."""

    concurrency: int = 16
    per_host: int = 2
    timeout_s: float = 30.0
    retries: int = 3
    backoff_s: float = 1.0
    robots: bool = True
    user_agent: str = "photomaker-dataset (+https://arxiv.org/abs/2312.04461)"
    private_addresses: bool = False


@dataclass(frozen=True, slots=True)
class RulesConfig:
    """The rules' parameters; the defaults are the paper's where it gives one.

    ``duplicate_share`` is the largest ID distance of near-duplicates as a share of the recogniser's mean distance of
    one person; ``min_pictures`` what a group must keep; ``caption_attempts`` how often a caption is sampled again.
    """

    max_bytes: int = 30 * 2**20
    min_side_px: int = MIN_SIDE_PX
    min_face_px: int = MIN_FACE_PX
    min_face_share: float = MIN_FACE_SHARE
    outlier_factor: float = DEFAULT_FACTOR
    max_hash_distance: int = MAX_HASH_DISTANCE
    duplicate_share: float = 0.5
    min_pictures: int = 2
    min_mask_overlap: float = 0.3
    caption_attempts: int = 8


@dataclass(frozen=True, slots=True)
class NetworkChoice:
    """One role's network: the adapter's name and what it needs, paths of the operator's weights above all."""

    use: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """One dataset. ``folder`` is where its tables, pictures and shards lie.

    A batch has at least ``batch_rows`` rows; it is what a kill can lose, and one shard. ``workers`` processes share a
    stage.
    """

    folder: Path
    source: SourceConfig
    faces: NetworkChoice
    captions: NetworkChoice
    segmenter: NetworkChoice = NetworkChoice("grabcut")
    regions: NetworkChoice = NetworkChoice("none")
    download: DownloadConfig = DownloadConfig()
    rules: RulesConfig = RulesConfig()
    title: str = "Dataset"
    batch_rows: int = 256
    workers: int = 1
    engine: str = "local"

    def __post_init__(self) -> None:
        if self.batch_rows < 1 or self.workers < 1:
            raise UserError("batch_rows and workers must be at least 1.")
        if self.engine not in ENGINES:
            raise UserError(f"engine is {self.engine!r}; it must be one of {', '.join(ENGINES)}.")


def load_dataset_config(path: Path) -> DatasetConfig:
    """Read a YAML file; paths in it are relative to the working directory. A mistake is a :class:`UserError`."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path} is empty or not a mapping; see docs/dataset.md.")
    return dataset_config(raw)


def dataset_config(raw: dict[str, Any]) -> DatasetConfig:
    """The configuration from plain values; a wrong, missing or unknown key is a :class:`UserError` that names it."""
    values = dict(raw)
    for name in ("folder", "source", "faces", "captions"):
        if name not in values:
            raise UserError(f"The dataset's configuration lacks {name}; see docs/dataset.md.")
    values["folder"] = Path(values["folder"])
    source = values["source"]
    if isinstance(source, dict) and "tars" in source:
        source = {**source, "tars": tuple(source["tars"])}
    values["source"] = _section(SourceConfig, source, "source")
    for name, kind in (("download", DownloadConfig), ("rules", RulesConfig)):
        if name in values:
            values[name] = _section(kind, values[name], name)
    for name in ("faces", "captions", "segmenter", "regions"):
        if isinstance(values.get(name), str):
            values[name] = NetworkChoice(values[name])
        elif isinstance(values.get(name), dict):
            options = dict(values[name])
            if "use" not in options:
                raise UserError(f"{name} lacks the key use; see docs/dataset.md.")
            values[name] = NetworkChoice(options.pop("use"), options)
    return _section(DatasetConfig, values, "the configuration")


def plain(section: Any) -> dict[str, Any]:
    """A section as plain values, for fingerprints."""
    return asdict(section)


def _section(kind: type[_Section], values: Any, name: str) -> _Section:
    if not isinstance(values, dict):
        raise UserError(f"{name} must be a mapping; see docs/dataset.md.")
    known = {one.name: one.type for one in fields(kind)}  # type: ignore[arg-type]
    unknown = [key for key in values if key not in known]
    if unknown:
        raise UserError(f"{name} has the unknown key {unknown[0]!r}; known are {', '.join(known)}.")
    for key, value in values.items():
        wanted = _PLAIN_TYPES.get(str(known[key]))
        if wanted is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)):
            raise UserError(f"{name}: {key} must be of type {known[key]}; {value!r} is not.")
    return kind(**values)
