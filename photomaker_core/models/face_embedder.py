"""Face embedders: the second input of a PhotoMaker V2 ID encoder.

V2 was trained on InsightFace's ArcFace embeddings. Its model weights are for non-commercial research
only, so nothing here downloads or ships them: the user installs the ``insightface`` extra and supplies
the antelopev2 folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from photomaker_core.errors import ModelError, PhotoError

_ARCFACE_WIDTH: Final = 512
_DETECTION_SIZES_PX: Final = tuple(range(640, 255, -64))


class FaceEmbedder(Protocol):
    """Turns a photo into a face embedding."""

    @property
    def fingerprint(self) -> str:
        """A name that changes whenever the embeddings would; part of the key under which ID features are stored."""

    def embed(self, photo: Image.Image) -> Tensor:
        """The embedding [512] of the largest face; raises :class:`PhotoError` when there is no face."""


class InsightFaceEmbedder:
    """ArcFace of InsightFace's antelopev2; ``folder`` holds ``models/antelopev2/*.onnx``."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "models" / "antelopev2").is_dir():
            raise ModelError(
                f"There is no InsightFace model at {folder / 'models' / 'antelopev2'}. PhotoMaker V2 needs "
                "antelopev2; its weights are for non-commercial research only, so you have to fetch them yourself."
            )
        try:
            from insightface.app import FaceAnalysis
        except ImportError as error:
            raise ModelError(
                "PhotoMaker V2 needs InsightFace. Install it with: pip install 'photomaker-bot[insightface]'"
            ) from error
        self._app: Any = FaceAnalysis(name="antelopev2", root=str(folder), allowed_modules=["detection", "recognition"])

    @property
    def fingerprint(self) -> str:
        return "insightface-antelopev2"

    @property
    def width(self) -> int:
        """Count the numbers of an embedding."""
        return _ARCFACE_WIDTH

    def embed(self, photo: Image.Image) -> Tensor:
        face = self._largest_face(photo)
        if face is None:
            raise PhotoError(
                "There is no face to be found in this photo. Choose one in which the face is in plain view."
            )
        return torch.from_numpy(np.asarray(face.embedding, dtype=np.float32))

    def crop(self, photo: Image.Image) -> Image.Image | None:
        """The largest face, cut out; ``None`` when there is no face."""
        face = self._largest_face(photo)
        if face is None:
            return None
        left, top, right, bottom = (int(edge) for edge in face.bbox)
        return photo.crop((left, top, right, bottom))

    def _largest_face(self, photo: Image.Image) -> Any:
        bgr = np.asarray(photo.convert("RGB"))[:, :, ::-1]
        for side in _DETECTION_SIZES_PX:
            self._app.prepare(ctx_id=0, det_size=(side, side))
            faces = self._app.get(bgr)
            if faces:
                return max(faces, key=lambda face: (face.bbox[2] - face.bbox[0]) * (face.bbox[3] - face.bbox[1]))
        return None
