"""RetinaFace and ArcFace from ONNX files of the operator, on onnxruntime: the paper's networks.

The files are those of the InsightFace project's packs (``det_10g.onnx`` or another SCRFD or RetinaFace with landmarks,
``w600k_r50.onnx`` or ``glintr100.onnx``) or others of the same inputs and outputs. Their weights are for non-commercial
research only: nothing here brings or fetches them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photomaker_core.dataset.boxes import intersection_over_union, scaled
from photomaker_core.errors import ModelError
from photomaker_core.models.face_recognition import Box, Face

_DETECTION_SIDE_PX: Final = 640
_STRIDES_PX: Final = (8, 16, 32)
_ANCHORS: Final = 2
_MIN_SCORE: Final = 0.5
_MOST_OVERLAP: Final = 0.4
_FACE_SIDE_PX: Final = 112
_LANDMARKS: Final = np.asarray(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""The eyes, nose and corners of the mouth in the 112 x 112 face that ArcFace takes (Deng et al. 2019)."""
_SAME_PERSON_MEAN: Final = 1.0
_SAME_PERSON_DEVIATION: Final = 0.12


class OnnxFaces:
    """``detector`` and ``embedder`` are the files.

    The two numbers are of the L2 distance of unit embeddings of one person. Their defaults are a cosine of 0.5 on
    average; set them to what your embedder shows on people you know.
    """

    def __init__(
        self,
        detector: str,
        embedder: str,
        same_person_mean: float = _SAME_PERSON_MEAN,
        same_person_deviation: float = _SAME_PERSON_DEVIATION,
    ) -> None:
        self.same_person_mean, self.same_person_deviation = same_person_mean, same_person_deviation
        self._detector, self._embedder = _session(Path(detector)), _session(Path(embedder))
        outputs = len(self._detector.get_outputs())
        if outputs != 3 * len(_STRIDES_PX):
            raise ModelError(
                f"{detector} has {outputs} outputs; a detector with scores, boxes and landmarks at the strides 8, 16 "
                "and 32 has 9."
            )

    def find(self, picture: Image.Image) -> list[Face]:
        scale = _DETECTION_SIDE_PX / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        frame = Image.new("RGB", (_DETECTION_SIDE_PX, _DETECTION_SIDE_PX))
        frame.paste(picture.convert("RGB").resize(size, Image.Resampling.BILINEAR))
        found = _without_overlaps(self._detected(frame))
        return [
            Face(*scaled(box, 1 / scale), score, self._embedding(picture, landmarks / scale))
            for score, box, landmarks in found
        ]

    def _detected(self, frame: Image.Image) -> list[tuple[float, Box, NDArray[np.float64]]]:
        outputs = _run(self._detector, _normalised(frame, 128.0))
        levels = len(_STRIDES_PX)
        found = []
        for level, stride in enumerate(_STRIDES_PX):
            scores, distances, points = (
                np.asarray(outputs[level + levels * part], dtype=np.float64).reshape(-1, width)
                for part, width in enumerate((1, 4, 10))
            )
            cells = _DETECTION_SIDE_PX // stride
            rows, columns = np.divmod(np.arange(cells * cells).repeat(_ANCHORS), cells)
            centres = np.stack([columns, rows], axis=1) * float(stride)
            for index in np.flatnonzero(scores[:, 0] >= _MIN_SCORE).tolist():
                x, y = centres[index].tolist()
                left, top, right, bottom = (distances[index] * stride).tolist()
                landmarks = centres[index] + points[index].reshape(5, 2) * stride
                found.append((float(scores[index, 0]), (x - left, y - top, x + right, y + bottom), landmarks))
        return found

    def _embedding(self, picture: Image.Image, landmarks: NDArray[np.float64]) -> NDArray[np.float32]:
        face = picture.convert("RGB").transform(
            (_FACE_SIDE_PX, _FACE_SIDE_PX),
            Image.Transform.AFFINE,
            _alignment(landmarks),
            Image.Resampling.BILINEAR,
        )
        embedding = np.asarray(_run(self._embedder, _normalised(face, 127.5))[0], dtype=np.float32).reshape(-1)
        unit: NDArray[np.float32] = embedding / max(float(np.linalg.norm(embedding)), 1e-12)
        return unit


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError("ONNX faces need onnxruntime: pip install 'photomaker-bot[dataset]'") from error
    if not path.is_file():
        raise ModelError(f"There is no ONNX file at {path}.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise ModelError(f"{path} cannot be loaded as an ONNX network: {error}") from error


def _run(session: Any, pixels: NDArray[np.float32]) -> list[Any]:
    outputs: list[Any] = session.run(None, {session.get_inputs()[0].name: pixels})
    return outputs


def _normalised(picture: Image.Image, deviation: float) -> NDArray[np.float32]:
    """[1, 3, H, W] in RGB, (value - 127.5) / ``deviation``."""
    values = (np.asarray(picture, dtype=np.float32) - 127.5) / np.float32(deviation)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def _without_overlaps(
    found: list[tuple[float, Box, NDArray[np.float64]]],
) -> list[tuple[float, Box, NDArray[np.float64]]]:
    kept: list[tuple[float, Box, NDArray[np.float64]]] = []
    for one in sorted(found, key=lambda face: -face[0]):
        if all(intersection_over_union(one[1], other[1]) <= _MOST_OVERLAP for other in kept):
            kept.append(one)
    return kept


def _alignment(landmarks: NDArray[np.float64]) -> tuple[float, ...]:
    """Pillow's affine coefficients of the similarity that takes the aligned face to the picture.

    Least squares (Umeyama 1991) from :data:`_LANDMARKS` to ``landmarks``.
    """
    source, target = _LANDMARKS - _LANDMARKS.mean(0), landmarks - landmarks.mean(0)
    u, singular, v = np.linalg.svd(target.T @ source)
    sign = np.diag([1.0, np.sign(np.linalg.det(u @ v))])
    rotation = u @ sign @ v
    scale = float((singular * np.diag(sign)).sum() / (source**2).sum())
    matrix = scale * rotation
    shift = landmarks.mean(0) - matrix @ _LANDMARKS.mean(0)
    return (*matrix[0].tolist(), float(shift[0]), *matrix[1].tolist(), float(shift[1]))
