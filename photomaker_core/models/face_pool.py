"""Finds faces in members' photos in a process of its own, so that it costs neither the bot nor who uploads a picture
time or memory without limit. Called by the bot where photos are compared with registered faces."""

from __future__ import annotations

import atexit
from concurrent.futures import Future
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from photomaker_core.images.decoding_pool import DecodingPool
from photomaker_core.models.face_recognition import EMBEDDING_WIDTH


class FacePool(DecodingPool):
    """As :class:`DecodingPool`, with dlib (:func:`~photomaker_core.models.face_recognition.is_installed`)."""

    program: ClassVar[str] = "photomaker_core.models.face_worker"

    def submit_faces(self, photo: bytes) -> Future[NDArray[np.float32]]:
        """Compute the ID embeddings [faces, width] of the faces in a prepared photo, the largest first.

        The future raises :class:`PhotoError` where it takes too long or too much memory.
        """
        return self._threads.submit(self._embed, photo)

    def _embed(self, photo: bytes) -> NDArray[np.float32]:
        _, content = self._ask(photo, "This photo")
        return np.frombuffer(content, dtype="<f4").reshape(-1, EMBEDDING_WIDTH).astype(np.float32)


@cache
def face_pool() -> FacePool:
    """This process's pool, of one process: comparing is never urgent."""
    pool = FacePool(workers=1)
    atexit.register(pool.close)
    return pool
