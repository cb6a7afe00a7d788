"""Identities, their photos and ID features. Called by the bot's commands and its drawing."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.exc import IntegrityError

from storage.database import Database
from storage.errors import NotFoundError, StorageError
from storage.models import Consent, Identity, IdFeature, IdPhoto
from storage.users import ensure_user


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """A normalised photo to store, as JPEG bytes."""

    content: bytes


@dataclass(frozen=True, slots=True)
class IdentityInfo:
    """An identity without its photos."""

    id: int
    owner_id: int
    name: str
    photo_count: int
    declaration: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A stored photo with its ID features for the asked fingerprint, if they were computed already."""

    id: int
    content: bytes
    features: bytes | None


class IdentityStore:
    """Everything that happens to identities. Names are compared without case and Unicode variants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, owner_id: int, name: str, photos: Sequence[NewPhoto], declaration: str) -> IdentityInfo:
        """Store an identity whole or not at all; raises :class:`StorageError` for a name in use."""
        try:
            async with self._database.transaction() as session:
                await ensure_user(session, owner_id)
                identity = Identity(owner_id=owner_id, name=name, name_key=name_key(name))
                session.add(identity)
                await session.flush()
                session.add(Consent(identity_id=identity.id, user_id=owner_id, declaration=declaration))
                session.add_all(
                    IdPhoto(identity_id=identity.id, position=position, content=photo.content)
                    for position, photo in enumerate(photos)
                )
        except IntegrityError as error:
            raise StorageError(_NAME_IN_USE.format(name=name)) from error
        return IdentityInfo(identity.id, owner_id, name, len(photos), declaration, identity.created_at)

    async def names(self, owner_id: int, containing: str = "", limit: int = 25) -> list[str]:
        """Names of a user's identities, oldest first, for a list or an autocompletion."""
        query = select(Identity.name).where(Identity.owner_id == owner_id).order_by(Identity.id).limit(limit)
        if containing.strip():
            query = query.where(Identity.name_key.contains(name_key(containing), autoescape=True))
        async with self._database.transaction() as session:
            return list(await session.scalars(query))

    async def all_of(self, owner_id: int) -> list[IdentityInfo]:
        async with self._database.transaction() as session:
            rows = await session.execute(_info_query().where(Identity.owner_id == owner_id).order_by(Identity.id))
            return [_info(row) for row in rows]

    async def find(self, owner_id: int, name: str) -> IdentityInfo:
        """A user's identity by name; raises :class:`NotFoundError`."""
        async with self._database.transaction() as session:
            row = (
                await session.execute(
                    _info_query().where(Identity.owner_id == owner_id, Identity.name_key == name_key(name))
                )
            ).first()
        if row is None:
            raise NotFoundError(
                f"You have no identity called “{name}”. Use /identity list to see yours, or /identity add to make one."
            )
        return _info(row)

    async def owned(self, owner_id: int, identity_id: int) -> IdentityInfo:
        """A user's identity by number; raises :class:`NotFoundError` when it is gone or somebody else's."""
        async with self._database.transaction() as session:
            row = (
                await session.execute(_info_query().where(Identity.owner_id == owner_id, Identity.id == identity_id))
            ).first()
        if row is None:
            raise NotFoundError("This identity does not exist any more.")
        return _info(row)

    async def rename(self, owner_id: int, name: str, new_name: str) -> IdentityInfo:
        """Raises :class:`NotFoundError`, or :class:`StorageError` for a new name in use."""
        found = await self.find(owner_id, name)
        try:
            async with self._database.transaction() as session:
                identity = await session.get_one(Identity, found.id)
                identity.name, identity.name_key = new_name, name_key(new_name)
        except IntegrityError as error:
            raise StorageError(_NAME_IN_USE.format(name=new_name)) from error
        return await self.find(owner_id, new_name)

    async def delete(self, owner_id: int, name: str) -> IdentityInfo:
        """Remove an identity with its photos, features and consent, from the database's files too.

        Raises :class:`NotFoundError`.
        """
        found = await self.find(owner_id, name)
        async with self._database.transaction() as session:
            await session.execute(delete(Identity).where(Identity.id == found.id))
        await self._database.scrub()
        return found

    async def photos(self, identity_id: int, fingerprint: str = "") -> list[StoredPhoto]:
        """An identity's photos in order, with their features under ``fingerprint``."""
        query = (
            select(IdPhoto.id, IdPhoto.content, IdFeature.content)
            .outerjoin(IdFeature, (IdFeature.photo_id == IdPhoto.id) & (IdFeature.fingerprint == fingerprint))
            .where(IdPhoto.identity_id == identity_id)
            .order_by(IdPhoto.position)
        )
        async with self._database.transaction() as session:
            return [StoredPhoto(*row) for row in await session.execute(query)]

    async def keep_features(self, fingerprint: str, features: Mapping[int, bytes]) -> None:
        """Store computed features by photo id; photos deleted in the meantime are passed over."""
        async with self._database.transaction() as session:
            present = set(await session.scalars(select(IdPhoto.id).where(IdPhoto.id.in_(features))))
            for photo_id in present:
                await session.merge(IdFeature(photo_id=photo_id, fingerprint=fingerprint, content=features[photo_id]))


def name_key(name: str) -> str:
    """How names are compared: compatibility-normalised, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _info(row: Any) -> IdentityInfo:
    return IdentityInfo(*row)


def _info_query() -> Select[tuple[int, int, str, int, str, datetime]]:
    photo_count = select(func.count()).where(IdPhoto.identity_id == Identity.id).scalar_subquery()
    declaration = (
        select(Consent.declaration)
        .where(Consent.identity_id == Identity.id)
        .order_by(Consent.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(Identity.id, Identity.owner_id, Identity.name, photo_count, declaration, Identity.created_at)


_NAME_IN_USE = "You already have an identity called “{name}”. Choose another name, or delete that one first."
