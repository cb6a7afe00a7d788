"""Opt-out by face: members register their own, and photos that show it are refused from everybody else.

Faces are found in a process of its own, which has limits of time and memory; what is kept are embeddings alone.
Stored photos are compared in the background, one at a time: after a registration, at the start, and every hour for
those that were added meanwhile. An identity that matches is locked, not deleted: what somebody does with another's face
can be undone. Called by /privacy opt-out and where photos are added.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photomaker_core.errors import PhotoError, UserError
from photomaker_core.images.decoding_pool import photo_pool
from photomaker_core.models.face_pool import face_pool
from photomaker_core.models.face_recognition import FINGERPRINT, are_same_person, is_installed, strangers_among
from storage import FaceOptOutStore, LimitReachedError, RegisteredFace

log = logging.getLogger(__name__)

MOST_A_DAY: Final = 3
"""The most registrations of one member in 24 hours: their answers tell how many people of others match."""
_DAY_S: Final = 86_400.0
_INTERVAL_S: Final = 3600.0

Embedding = NDArray[np.float32]


class FaceOptOutService:
    """Registers faces, refuses photos that show them, and locks the identities that already do."""

    def __init__(self, store: FaceOptOutStore) -> None:
        self.store = store
        self._registered_s: dict[int, list[float]] = {}
        self._comparing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Compare stored photos, now and every hour."""
        self._spawn(self._compare_hourly())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def check_possible(self) -> None:
        """Raise :class:`UserError` where faces cannot be found on this machine."""
        if not is_installed():
            raise UserError(
                "I cannot register faces: the bot's operator has not installed the extra `faces`. Nothing was stored."
            )

    async def register(self, user_id: int, uploads: Sequence[tuple[str, bytes]]) -> bool:
        """Store the face of a member, from one to three photos (file name and content) that show it alone.

        It takes the place of one that they registered before; returns whether no trace of that is left in the files.
        Raises :class:`PhotoError`, :class:`UserError` or :class:`LimitReachedError`.
        """
        self.check_possible()
        self._take_turn(user_id)
        prepared = [await asyncio.wrap_future(photo_pool().submit(content, name)) for name, content in uploads]
        faces = [await self._faces(one.content) for one in prepared]
        for number, found in enumerate(faces, start=1):
            if len(found) != 1:
                raise PhotoError(
                    "Photo {number} shows {faces} faces that I can find; it has to be one, yours, from the front. "
                    "Nothing was stored.",
                    number=number,
                    faces=len(found),
                )
        embeddings = [found[0] for found in faces]
        if not all(are_same_person(one, [other]) for one in embeddings for other in embeddings):
            raise PhotoError("These photos do not seem to show the same person. Nothing was stored.")
        return await self.store.register(user_id, FINGERPRINT, [_to_bytes(one) for one in embeddings])

    async def compared(self, user_id: int, patience_s: float) -> RegisteredFace | None:
        """A member's registration once it has been compared with all that is stored, or after ``patience_s``: then the
        comparison goes on."""
        await asyncio.wait([self._spawn(self._compare_stored())], timeout=patience_s)
        return await self.store.find(user_id)

    def compare_new(self) -> None:
        """Compare what has just been stored: a face may have been registered after the photos were checked."""
        self._spawn(self._compare_stored())

    async def check(self, owner_id: int, photos: Sequence[bytes]) -> list[int]:
        """Refuse prepared photos of which one shows a face that another member has registered.

        Returns which of the photos do not seem to show the person of the others. Nothing is computed where neither
        can be. Raises :class:`PhotoError`, also where there are registered faces and none can be compared any more.
        """
        others = await self.store.of_others(owner_id)
        if others and (not is_installed() or others.keys() != {FINGERPRINT}):
            log.error("there are registered faces that cannot be compared: %s", ", ".join(others))
            raise PhotoError(
                "Members have registered faces that nobody may add, and I cannot compare faces right now. Please tell "
                "the bot's operator to install the extra `faces`. Nothing was stored."
            )
        if not is_installed() or (not others and len(photos) < 2):
            return []
        registered = [_from_bytes(one) for one in others.get(FINGERPRINT, [])]
        found = await asyncio.gather(*map(self._faces, photos))
        if any(are_same_person(one, registered) for faces in found for one in faces):
            log.info("photos of user %d were refused: they show a registered face", owner_id)
            raise PhotoError(
                "Somebody whom these photos show has asked that nobody else adds them. Nothing was stored. If that is "
                "a mistake, tell the bot's operator."
            )
        return strangers_among([faces[0] if len(faces) else None for faces in found])

    async def _faces(self, photo: bytes) -> Embedding:
        """The embeddings [faces, width] in a prepared photo, the largest face first."""
        return await asyncio.wrap_future(face_pool().submit_faces(photo))

    def _take_turn(self, user_id: int) -> None:
        now = time.monotonic()
        recent = [one for one in self._registered_s.pop(user_id, []) if one > now - _DAY_S]
        if len(recent) >= MOST_A_DAY:
            self._registered_s[user_id] = recent
            raise LimitReachedError(
                "You have registered a face {number} times today, which is the most.", number=MOST_A_DAY
            )
        self._registered_s = {one: times for one, times in self._registered_s.items() if times[-1] > now - _DAY_S}
        self._registered_s[user_id] = [*recent, now]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="face opt-outs")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _compare_hourly(self) -> None:
        while True:
            await self._compare_stored()
            await asyncio.sleep(_INTERVAL_S)

    async def _compare_stored(self) -> None:
        """Compare until nothing is left: one photo at a time, whoever asks."""
        async with self._comparing:
            try:
                while is_installed() and await self._compare_next():
                    pass
            except Exception:
                log.exception("stored photos could not be compared with registered faces; trying again in an hour")

    async def _compare_next(self) -> bool:
        """Compare one stored photo with the faces that it was not compared with; whether there was one."""
        todo = await self.store.next_comparison(FINGERPRINT)
        if todo is None:
            return False
        photo, faces = todo
        strangers = [one for one in faces if one.user_id != photo.owner_id]
        matching: list[int] = []
        if strangers:
            try:
                shown = await self._faces(photo.content)
            except PhotoError:
                log.warning("photo %d could not be compared with registered faces", photo.photo_id)
            else:
                matching = [one.id for one in strangers if are_same_person(_from_bytes(one.embedding), list(shown))]
        if matching:
            log.info("identity %d is locked: it shows a registered face", photo.identity_id)
        await self.store.compared(photo, [one.id for one in faces], matching)
        return True


def _to_bytes(embedding: Embedding) -> bytes:
    return embedding.astype("<f4").tobytes()


def _from_bytes(content: bytes) -> Embedding:
    return np.frombuffer(content, dtype="<f4").astype(np.float32)
