"""Builds the networks that a configuration names. Adapters are imported when they are asked for: most are extras."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from photomaker_core.dataset.dataset_config import NetworkChoice
from photomaker_core.dataset.stage_networks import Captioner, FaceFinder, RegionScorer, Segmenter
from photomaker_core.errors import UserError


def face_finder(choice: NetworkChoice) -> FaceFinder:
    finder: FaceFinder = _built("faces", choice, {"drawn": _drawn_faces, "dlib": _dlib_faces, "onnx": _onnx_faces})
    return finder


def segmenter(choice: NetworkChoice) -> Segmenter:
    built: Segmenter = _built("segmenter", choice, {"grabcut": _grabcut, "mask2former": _mask2former})
    return built


def captioner(choice: NetworkChoice) -> Captioner:
    known = {"fixed": _fixed_caption, "drawn": _drawn_captions, "blip": _blip, "blip2": _blip2}
    built: Captioner = _built("captions", choice, known)
    return built


def region_scorer(choice: NetworkChoice) -> RegionScorer | None:
    """``None`` for ``none``: then the sentence's subject is marked."""
    known = {"none": _nothing, "drawn": _drawn_regions, "clip": _clip}
    scorer: RegionScorer | None = _built("regions", choice, known)
    return scorer


def _built(role: str, choice: NetworkChoice, known: dict[str, Callable[[], Callable[..., Any]]]) -> Any:
    if choice.use not in known:
        raise UserError(f"{role}: use is {choice.use!r}; it must be one of {', '.join(known)}.")
    build = known[choice.use]()
    try:
        inspect.signature(build).bind(**choice.options)
    except TypeError as error:
        raise UserError(f"{role}: the options of {choice.use} are wrong: {error}.") from error
    return build(**choice.options)


def _nothing() -> Callable[..., Any]:
    return lambda: None


def _drawn_faces() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.drawn_faces import DrawnFaces

    return DrawnFaces


def _dlib_faces() -> Callable[..., Any]:
    from photomaker_core.models.face_recognition import DlibFaces

    return DlibFaces


def _onnx_faces() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.onnx_faces import OnnxFaces

    return OnnxFaces


def _grabcut() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.grabcut import GrabCutSegmenter

    return GrabCutSegmenter


def _mask2former() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.mask2former import Mask2FormerSegmenter

    return Mask2FormerSegmenter


def _fixed_caption() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.fixed_caption import FixedCaption

    return FixedCaption


def _drawn_captions() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.drawn_captions import DrawnCaptioner

    return DrawnCaptioner


def _drawn_regions() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.drawn_captions import DrawnRegionScorer

    return DrawnRegionScorer


def _blip() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.blip import BlipCaptioner

    return BlipCaptioner


def _blip2() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.blip import Blip2Captioner

    return Blip2Captioner


def _clip() -> Callable[..., Any]:
    from photomaker_core.dataset.adapters.clip_regions import ClipRegionScorer

    return ClipRegionScorer
