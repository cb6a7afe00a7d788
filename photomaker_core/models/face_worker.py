"""The process that finds faces in prepared photos, with the limits of the decoding processes.

Started by :mod:`~photomaker_core.models.face_pool` as ``python -m``.
"""

from __future__ import annotations

from typing import Any

from photomaker_core.images.decoding_worker import main
from photomaker_core.images.photo_decoding import load_photo
from photomaker_core.models.face_recognition import DlibFaces


def embeddings(content: bytes, _name: str) -> tuple[dict[str, Any], bytes]:
    """The embeddings of all faces, the largest first: float32, little-endian, [faces, width]."""
    faces = DlibFaces("hog").find(load_photo(content))
    faces.sort(key=lambda face: (face.right - face.left) * (face.bottom - face.top), reverse=True)
    return {}, b"".join(face.embedding.astype("<f4").tobytes() for face in faces)


if __name__ == "__main__":
    main(embeddings)
