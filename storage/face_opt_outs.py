"""Faces that nobody but their own member may add, as embeddings, and the identities that are locked because of them.

Called by the bot's service of that name, by /privacy and by ``photomaker-bot faces``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, delete, exists, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.database import Database
from storage.models import FaceOptOut, Identity, IdentityLock, IdPhoto
from storage.users import lock_user

MOST_PHOTOS: Final = 3
"""The most photos, and so embeddings, of the one face that a member may register."""


@dataclass(frozen=True, slots=True)
class RegisteredFace:
    """What may be told of a member's face: of how many photos it was registered and when, how many identities of others
    it locks, and whether it has been compared with every stored photo."""

    user_id: int
    photos: int
    registered_at: datetime
    locked: int
    is_compared: bool


@dataclass(frozen=True, slots=True)
class FaceEmbedding:
    """One embedding: float32, little-endian."""

    id: int
    user_id: int
    embedding: bytes


@dataclass(frozen=True, slots=True)
class PhotoToCompare:
    """A stored photo that a registered face was not compared with yet."""

    photo_id: int
    identity_id: int
    owner_id: int
    content: bytes


class FaceOptOutStore:
    """Keeps one face a member."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, user_id: int, fingerprint: str, embeddings: Sequence[bytes]) -> bool:
        """Store a member's face in the place of the one that they registered before.

        Returns what :meth:`withdraw` returns, of the earlier one.
        """
        async with self._database.transaction() as session:
            await lock_user(session, user_id)
            await session.execute(delete(FaceOptOut).where(FaceOptOut.user_id == user_id))
            session.add_all(
                FaceOptOut(user_id=user_id, fingerprint=fingerprint, embedding=one) for one in embeddings[:MOST_PHOTOS]
            )
        return await self._database.scrub()

    async def withdraw(self, user_id: int) -> bool:
        """Erase a member's face, if there is one; what it locked is free again.

        Returns whether no file of the database holds a trace any more; else another process is reading it, and the
        database goes on trying.
        """
        async with self._database.transaction() as session:
            await session.execute(delete(FaceOptOut).where(FaceOptOut.user_id == user_id))
        return await self._database.scrub()

    async def find(self, user_id: int) -> RegisteredFace | None:
        """A member's own registration."""
        async with self._database.reading() as session:
            return await registered_face(session, user_id)

    async def all(self) -> list[RegisteredFace]:
        """Every registration, oldest first."""
        async with self._database.reading() as session:
            users = select(FaceOptOut.user_id).group_by(FaceOptOut.user_id).order_by(func.min(FaceOptOut.id))
            found = [await registered_face(session, one) for one in await session.scalars(users)]
        return [one for one in found if one is not None]

    async def of_others(self, user_id: int) -> dict[str, list[bytes]]:
        """The embeddings that a member's photos must not match, by the fingerprint of the network."""
        query = select(FaceOptOut.fingerprint, FaceOptOut.embedding).where(FaceOptOut.user_id != user_id)
        found: dict[str, list[bytes]] = {}
        async with self._database.reading() as session:
            for fingerprint, embedding in await session.execute(query):
                found.setdefault(fingerprint, []).append(embedding)
        return found

    async def next_comparison(self, fingerprint: str) -> tuple[PhotoToCompare, list[FaceEmbedding]] | None:
        """The oldest stored photo with which some faces were not compared yet, and these; ``None`` if there is none."""
        is_known = FaceOptOut.fingerprint == fingerprint
        async with self._database.reading() as session:
            start = await session.scalar(select(func.min(FaceOptOut.compared_photo_id)).where(is_known))
            if start is None:
                return None
            query = (
                select(IdPhoto.id, IdPhoto.identity_id, Identity.owner_id, IdPhoto.content)
                .join(Identity, Identity.id == IdPhoto.identity_id)
                .where(IdPhoto.id > start)
                .order_by(IdPhoto.id)
                .limit(1)
            )
            photo = (await session.execute(query)).first()
            if photo is None:
                return None
            faces = select(FaceOptOut.id, FaceOptOut.user_id, FaceOptOut.embedding).where(
                is_known, FaceOptOut.compared_photo_id < photo.id
            )
            return PhotoToCompare(*photo), [FaceEmbedding(*row) for row in await session.execute(faces)]

    async def compared(
        self, photo: PhotoToCompare, face_ids: Collection[int], matching_face_ids: Collection[int]
    ) -> None:
        """Note that faces were compared with a photo, and lock its identity for those that match.

        Faces and identities that are gone by now are passed over.
        """
        async with self._database.transaction() as session:
            await session.execute(
                update(FaceOptOut)
                .where(FaceOptOut.id.in_(face_ids), FaceOptOut.compared_photo_id < photo.photo_id)
                .values(compared_photo_id=photo.photo_id)
            )
            there = select(literal(photo.identity_id), FaceOptOut.id).where(
                FaceOptOut.id.in_(matching_face_ids),
                exists().where(Identity.id == photo.identity_id),
                ~exists().where(IdentityLock.identity_id == photo.identity_id, IdentityLock.face_id == FaceOptOut.id),
            )
            await session.execute(insert(IdentityLock).from_select(["identity_id", "face_id"], there))


def is_locked() -> ColumnElement[bool]:
    """The condition that an identity cannot be drawn because of somebody's registered face."""
    return exists().where(IdentityLock.identity_id == Identity.id)


async def registered_face(session: AsyncSession, user_id: int) -> RegisteredFace | None:
    """A member's registration, if there is one."""
    query = select(
        func.count(FaceOptOut.id), func.min(FaceOptOut.created_at), func.min(FaceOptOut.compared_photo_id)
    ).where(FaceOptOut.user_id == user_id)
    photos, registered_at, compared = (await session.execute(query)).one()
    if not photos:
        return None
    locked = (
        select(func.count(func.distinct(IdentityLock.identity_id)))
        .join(FaceOptOut, FaceOptOut.id == IdentityLock.face_id)
        .where(FaceOptOut.user_id == user_id)
    )
    newest = await session.scalar(select(func.max(IdPhoto.id))) or 0
    return RegisteredFace(user_id, photos, registered_at, await session.scalar(locked) or 0, compared >= newest)
