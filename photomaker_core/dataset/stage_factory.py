"""The stages of a configuration: their order, what each depends on, and how one is built."""

from __future__ import annotations

from typing import Any, Final

from photomaker_core.dataset import network_factory
from photomaker_core.dataset.dataset_config import DatasetConfig, plain
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.stages.caption import CaptionStage
from photomaker_core.dataset.stages.crop import CropStage
from photomaker_core.dataset.stages.detect import DetectStage
from photomaker_core.dataset.stages.mark import MarkStage
from photomaker_core.dataset.stages.pack import PackStage
from photomaker_core.dataset.stages.segment import SegmentStage
from photomaker_core.dataset.stages.stage import Stage
from photomaker_core.dataset.stages.verify import VerifyStage

STAGES: Final = ("fetch", "detect", "verify", "crop", "segment", "caption", "mark", "pack")
_STORE_FOLDER: Final = "pictures"
SHARDS_FOLDER: Final = "shards"


def picture_store(config: DatasetConfig) -> PictureStore:
    return PictureStore(config.folder / _STORE_FOLDER)


def build_stage(name: str, config: DatasetConfig) -> Stage:
    """A stage after ``fetch``; loads the networks it needs."""
    store, rules = picture_store(config), config.rules
    match name:
        case "detect":
            return DetectStage(store, network_factory.face_finder(config.faces), rules.min_face_px)
        case "verify":
            finder = network_factory.face_finder(config.faces)
            return VerifyStage(
                finder.same_person_mean,
                finder.same_person_deviation,
                rules.outlier_factor,
                rules.max_hash_distance,
                rules.duplicate_share,
                rules.min_pictures,
            )
        case "crop":
            return CropStage(rules.min_face_share)
        case "segment":
            return SegmentStage(store, network_factory.segmenter(config.segmenter), rules.min_mask_overlap)
        case "caption":
            return CaptionStage(store, network_factory.captioner(config.captions), rules.caption_attempts)
        case "mark":
            return MarkStage(store, network_factory.region_scorer(config.regions))
        case "pack":
            return PackStage(store, config.folder / SHARDS_FOLDER)
        case _:
            raise ValueError(f"{name} is no stage of batches")


def settings_of(name: str, config: DatasetConfig) -> dict[str, Any]:
    """The settings that change a stage's result, its input table aside; part of the table's fingerprint."""
    rules = plain(config.rules)
    keys = {
        "fetch": ("max_bytes", "min_side_px"),
        "detect": ("min_face_px",),
        "verify": ("outlier_factor", "max_hash_distance", "duplicate_share", "min_pictures"),
        "crop": ("min_face_share",),
        "segment": ("min_mask_overlap",),
        "caption": ("caption_attempts",),
    }.get(name, ())
    settings: dict[str, Any] = {key: rules[key] for key in keys}
    networks = {"detect": "faces", "segment": "segmenter", "caption": "captions", "mark": "regions"}
    if name in networks:
        settings["network"] = plain(getattr(config, networks[name]))
    if name == "fetch":
        settings |= {"source": plain(config.source), "batch_rows": config.batch_rows}
    return settings
