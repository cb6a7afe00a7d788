"""Face recognition with dlib: detectors and a 128-number ID embedding, with the weights of ``face-recognition-models``.

Called by the dataset pipeline, by ``photomaker evaluate`` for *Face Sim.*, and by the bot when photos are added (extra
``faces``).

The detectors, the 5-point landmarks and the embedding are CC0; the package's 68-point file is for research only and is
not opened. Distances between two pictures of one person were measured on photographs: see docs/dataset.md.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photomaker_core.errors import ModelError, PhotoError
from photomaker_core.models.face_verification import DEFAULT_FACTOR, outliers

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDING_WIDTH: Final = 128
SAME_PERSON_MEAN: Final = 0.39
SAME_PERSON_DEVIATION: Final = 0.08
SAME_PERSON_LIMIT: Final = SAME_PERSON_MEAN + DEFAULT_FACTOR * SAME_PERSON_DEVIATION
"""The L2 distance up to which two faces count as one person's; docs/privacy.md has what that was measured to mean."""
FINGERPRINT: Final = "dlib-resnet-v1"
"""The version of the network: embeddings of different ones cannot be compared."""
_LONGEST_SIDE_PX: Final = 1024
_CNN_SIDE_PX: Final = 640
_SMALLEST_SIDE_PX: Final = 400


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the upright picture."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face's box, the detector's score in 0..1, and the ID embedding as float32."""

    left: float
    top: float
    right: float
    bottom: float
    score: float
    embedding: NDArray[np.float32]

    @property
    def box(self) -> Box:
        return self.left, self.top, self.right, self.bottom


class DlibFaces:
    """``detector`` is ``hog`` (quick, from the front), ``cnn`` (slow, finds more), or ``both``: cnn where hog fails."""

    same_person_mean = SAME_PERSON_MEAN
    same_person_deviation = SAME_PERSON_DEVIATION

    def __init__(self, detector: str = "both") -> None:
        if detector not in ("hog", "cnn", "both"):
            raise ModelError(f"dlib's detector is hog, cnn or both; {detector!r} is not known.")
        self._detector = detector
        self._networks = _networks()

    @property
    def fingerprint(self) -> str:
        return FINGERPRINT

    @property
    def width(self) -> int:
        """The number of values in an embedding."""
        return EMBEDDING_WIDTH

    def embed(self, photo: Image.Image) -> Tensor:
        """The embedding [128] of the largest face; raises :class:`PhotoError` when there is no face."""
        face = self.largest(photo)
        if face is None:
            raise PhotoError(
                "There is no face to be found in this photo. Choose one in which the face is in plain view."
            )
        import torch  # the decoding processes, which embed too, are small without it

        return torch.from_numpy(face.embedding)

    def crop(self, photo: Image.Image) -> Image.Image | None:
        """The largest face, cut out; ``None`` when there is no face."""
        face = self.largest(photo)
        return None if face is None else photo.crop(tuple(round(edge) for edge in face.box))  # type: ignore[arg-type]

    def largest(self, photo: Image.Image) -> Face | None:
        faces = self.find(photo)
        return max(faces, key=lambda face: (face.right - face.left) * (face.bottom - face.top), default=None)

    def find(self, picture: Image.Image) -> list[Face]:
        """All faces; boxes in pixels of ``picture``."""
        picture = picture.convert("RGB")
        found: list[tuple[Any, float]] = []
        if self._detector != "cnn":
            found = self._detected(picture, _LONGEST_SIDE_PX, self._hog)
        if not found and self._detector != "hog":
            found = self._detected(picture, _CNN_SIDE_PX, self._cnn)
        pixels = np.asarray(picture)
        return [self._face(pixels, box, score) for box, score in found]

    def _detected(self, picture: Image.Image, side_px: int, detect: Any) -> list[tuple[Any, float]]:
        """Boxes in pixels of ``picture``. Small ones are enlarged: the detectors see faces of 80 pixels and more."""
        import dlib

        scale = min(side_px / max(picture.size), max(1.0, _SMALLEST_SIDE_PX / max(picture.size)))
        size = tuple(max(1, round(edge * scale)) for edge in picture.size)
        pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))  # type: ignore[arg-type]
        return [
            (
                dlib.rectangle(*(round(edge / scale) for edge in (box.left(), box.top(), box.right(), box.bottom()))),
                score,
            )
            for box, score in detect(pixels)
        ]

    def _hog(self, pixels: Any) -> list[tuple[Any, float]]:
        boxes, scores, _ = self._networks.hog.run(pixels, 0, 0.0)
        return list(zip(boxes, (float(score) for score in scores), strict=True))

    def _cnn(self, pixels: Any) -> list[tuple[Any, float]]:
        return [(one.rect, float(one.confidence)) for one in self._networks.cnn(pixels, 0)]

    def _face(self, pixels: Any, box: Any, score: float) -> Face:
        landmarks = self._networks.landmarks(pixels, box)
        embedding = np.asarray(self._networks.embedding.compute_face_descriptor(pixels, landmarks), dtype=np.float32)
        return Face(
            float(box.left()), float(box.top()), float(box.right()), float(box.bottom()), min(1.0, score), embedding
        )


class _Networks:
    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise ModelError(_MISSING) from error
        folder = _weights()
        self.hog = dlib.get_frontal_face_detector()
        self.cnn = dlib.cnn_face_detection_model_v1(str(folder / "mmod_human_face_detector.dat"))
        self.landmarks = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self.embedding = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))


_MISSING: Final = "Face recognition needs dlib. Install it with: pip install 'photomaker-bot[faces]'"


def photos_of_others(photos: Sequence[Image.Image], detector: str = "hog") -> list[int]:
    """Which ``photos`` (upright, RGB) do not seem to show the person that most of them show; their indices in order.

    Photos without a face that is found say nothing and are not among them; neither can fewer than two faces disagree.
    Of two photos that disagree the second is named: nobody can tell which is right. About 0.2 s a photo with ``hog``:
    keep it off an event loop. Raises :class:`ModelError` when dlib is not installed (:func:`is_installed`).
    """
    recognition = DlibFaces(detector)
    found = [recognition.largest(photo) for photo in photos]
    return strangers_among([None if face is None else face.embedding for face in found])


def strangers_among(embeddings: Sequence[NDArray[np.float32] | None]) -> list[int]:
    """Do :func:`photos_of_others` with each photo's face, ``None`` where there is none."""
    found = [(index, one) for index, one in enumerate(embeddings) if one is not None]
    if len(found) < 2:
        return []
    strangers, _ = outliers(np.stack([one for _, one in found]), SAME_PERSON_MEAN, SAME_PERSON_DEVIATION)
    return sorted(found[place][0] for place in strangers)


def are_same_person(embedding: NDArray[np.float32], others: Sequence[NDArray[np.float32]]) -> bool:
    """Whether a face is as near to any of the ``others`` as two pictures of one person are."""
    return any(float(np.linalg.norm(embedding - one)) <= SAME_PERSON_LIMIT for one in others)


def is_installed() -> bool:
    """True where dlib and its weights are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("dlib", "face_recognition_models"))


@cache
def _networks() -> _Networks:
    return _Networks()


def _weights() -> Path:
    """The package's files, without importing it: its code wants setuptools' old ``pkg_resources``."""
    found = importlib.util.find_spec("face_recognition_models")
    if found is None or found.origin is None:
        raise ModelError(_MISSING)
    return Path(found.origin).parent / "models"
