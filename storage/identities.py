"""Identities, their photos and ID features. Called by the bot's commands and its drawing."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.exc import IntegrityError

from storage.database import Database
from storage.errors import NotFoundError, StorageError
from storage.models import Consent, Identity, IdentityShare, IdFeature, IdPhoto
from storage.users import ensure_user

MEMBER: Final[Literal["member"]] = "member"
SERVER: Final[Literal["server"]] = "server"


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
            raise StorageError(_NAME_IN_USE, name=name) from error
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
            raise NotFoundError(_UNKNOWN, name=name)
        return _info(row)

    async def usable(self, user_id: int, guild_id: int | None, identity_id: int) -> IdentityInfo:
        """An identity by number that a user may draw in a server: their own, or one that is shared with them.

        Raises :class:`NotFoundError` when it is gone or not theirs to use.
        """
        query = _info_query().where(Identity.id == identity_id, usable_by(user_id, guild_id))
        async with self._database.transaction() as session:
            row = (await session.execute(query)).first()
        if row is None:
            raise NotFoundError("This identity does not exist any more.")
        return _info(row)

    async def find_usable(self, user_id: int, guild_id: int | None, name: str) -> IdentityInfo:
        """An identity by name, one's own before those that are shared; raises :class:`NotFoundError`."""
        query = (
            _info_query()
            .where(Identity.name_key == name_key(name), usable_by(user_id, guild_id))
            .order_by(Identity.owner_id != user_id, Identity.id)
            .limit(1)
        )
        async with self._database.transaction() as session:
            row = (await session.execute(query)).first()
        if row is None:
            raise NotFoundError(_UNKNOWN, name=name)
        return _info(row)

    async def shared_with(
        self, user_id: int, guild_id: int | None, containing: str = "", limit: int = 25
    ) -> list[IdentityInfo]:
        """Other people's identities that a user may draw in a server, oldest first."""
        query = (
            _info_query()
            .where(Identity.owner_id != user_id, usable_by(user_id, guild_id))
            .order_by(Identity.id)
            .limit(limit)
        )
        if containing.strip():
            query = query.where(Identity.name_key.contains(name_key(containing), autoescape=True))
        async with self._database.transaction() as session:
            return [_info(row) for row in await session.execute(query)]

    async def rename(self, owner_id: int, name: str, new_name: str) -> IdentityInfo:
        """Raises :class:`NotFoundError`, or :class:`StorageError` for a new name in use."""
        found = await self.find(owner_id, name)
        try:
            async with self._database.transaction() as session:
                identity = await session.get_one(Identity, found.id)
                identity.name, identity.name_key = new_name, name_key(new_name)
        except IntegrityError as error:
            raise StorageError(_NAME_IN_USE, name=new_name) from error
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

    async def add_photos(self, owner_id: int, name: str, photos: Sequence[NewPhoto], at_most: int) -> IdentityInfo:
        """Add photos to an identity; raises :class:`StorageError` where it then had more than ``at_most``."""
        found = await self.find(owner_id, name)
        async with self._database.transaction() as session:
            positions = (await session.scalars(select(IdPhoto.position).where(IdPhoto.identity_id == found.id))).all()
            if len(positions) + len(photos) > at_most:
                raise StorageError(
                    "“{name}” has {photos} photos; {most} are the most. Remove some first.",
                    name=found.name,
                    photos=len(positions),
                    most=at_most,
                )
            start = max(positions, default=-1) + 1
            session.add_all(
                IdPhoto(identity_id=found.id, position=start + offset, content=photo.content)
                for offset, photo in enumerate(photos)
            )
        return await self.find(owner_id, name)

    async def remove_photo(self, owner_id: int, name: str, number: int) -> IdentityInfo:
        """Remove the ``number``-th photo, from 1, from the database's files too; the last one stays.

        Raises :class:`StorageError`.
        """
        found = await self.find(owner_id, name)
        if found.photo_count == 1:
            raise StorageError(
                "“{name}” has only this photo. To remove the person, use /identity delete.", name=found.name
            )
        photos = await self.photos(found.id)
        if not 1 <= number <= len(photos):
            raise StorageError(
                "“{name}” has photos 1 to {last}; there is no number {number}.",
                name=found.name,
                last=len(photos),
                number=number,
            )
        async with self._database.transaction() as session:
            await session.execute(delete(IdPhoto).where(IdPhoto.id == photos[number - 1].id))
        await self._database.scrub()
        return await self.find(owner_id, name)

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


def usable_by(user_id: int, guild_id: int | None) -> ColumnElement[bool]:
    """Whether a user may draw an identity in a server: it is theirs, or shared with them or the server."""
    shared = select(IdentityShare.identity_id).where(
        or_(
            (IdentityShare.kind == MEMBER) & (IdentityShare.target_id == user_id),
            (IdentityShare.kind == SERVER) & (IdentityShare.target_id == (guild_id or 0)),
        )
    )
    return or_(Identity.owner_id == user_id, Identity.id.in_(shared))


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


_UNKNOWN = "You have no identity called “{name}”. Use /identity list to see yours, or /identity add to make one."
_NAME_IN_USE = "You already have an identity called “{name}”. Choose another name, or delete that one first."
