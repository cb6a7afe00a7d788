"""Identities: named people, whose they are, and who may draw them. Called by the bot's commands and its drawing."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.consents import Wording, record_consent
from storage.database import Database
from storage.erasure import forget_names
from storage.errors import NameTakenError, NotFoundError
from storage.limits import StorageLimits, check_bytes, check_identities
from storage.models import Consent, Identity, IdentityShare, IdFeature, IdPhoto
from storage.users import lock_user

MEMBER: Final[Literal["member"]] = "member"
SERVER: Final[Literal["server"]] = "server"


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """A normalised photo to store, as JPEG bytes, with its ID features by the fingerprint of what computed them."""

    content: bytes
    features: Mapping[str, bytes] = field(default_factory=dict)


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
class Removal:
    """The outcome of a removal: what was removed, or what is left of it.

    ``is_final`` says that no file of the database holds a trace any more; else another process is reading it, and the
    database goes on trying.
    """

    info: IdentityInfo
    is_final: bool


class IdentityStore:
    """Adds, finds, renames and removes identities. Names are compared without case and Unicode variants."""

    def __init__(self, database: Database, limits: StorageLimits | None = None) -> None:
        self._database, self._limits = database, limits or StorageLimits()

    async def add(
        self,
        owner_id: int,
        name: str,
        photos: Sequence[NewPhoto],
        declaration: str,
        wording: Wording | None = None,
    ) -> IdentityInfo:
        """Store an identity with its photos, their features and the consent, whole or not at all.

        Raises :class:`NameTakenError` or :class:`LimitReachedError`.
        """
        async with self._database.transaction() as session:
            await lock_user(session, owner_id)
            await self._check_room(session, owner_id, name, [photo.content for photo in photos])
            identity = Identity(owner_id=owner_id, name=name, name_key=name_key(name))
            session.add(identity)
            await session.flush()
            record_consent(session, identity.id, owner_id, declaration, wording, len(photos))
            await store_photos(session, identity.id, 0, photos)
            return IdentityInfo(identity.id, owner_id, name, len(photos), declaration, identity.created_at)

    async def check_addition(self, owner_id: int, name: str, photos: Sequence[bytes]) -> None:
        """Raise what :meth:`add` would raise at this moment: for a refusal before the work, beside the one after it."""
        async with self._database.reading() as session:
            await self._check_room(session, owner_id, name, photos)

    async def _check_room(self, session: AsyncSession, owner_id: int, name: str, photos: Sequence[bytes]) -> None:
        await _check_name_is_free(session, owner_id, name)
        await check_identities(session, self._limits, owner_id)
        await check_bytes(session, self._limits, owner_id, photos)

    async def names(self, owner_id: int, containing: str = "", limit: int = 25) -> list[str]:
        """Names of a user's identities, oldest first, for a list or an autocompletion."""
        query = select(Identity.name).where(Identity.owner_id == owner_id).order_by(Identity.id).limit(limit)
        if containing.strip():
            query = query.where(Identity.name_key.contains(name_key(containing), autoescape=True))
        async with self._database.reading() as session:
            return list(await session.scalars(query))

    async def all_of(self, owner_id: int) -> list[IdentityInfo]:
        """A user's identities, oldest first."""
        async with self._database.reading() as session:
            return await identities_of(session, owner_id)

    async def newest_of(self, owner_id: int, limit: int = 1) -> list[IdentityInfo]:
        """The identities that a user added last, the last one first."""
        query = _info_query().where(Identity.owner_id == owner_id).order_by(Identity.id.desc()).limit(limit)
        async with self._database.reading() as session:
            return [_info(row) for row in await session.execute(query)]

    async def find(self, owner_id: int, name: str) -> IdentityInfo:
        """A user's identity by name; raises :class:`NotFoundError`."""
        async with self._database.reading() as session:
            return await own_identity(session, owner_id, name)

    async def find_accessible(self, user_id: int, guild_id: int | None, name: str) -> IdentityInfo:
        """An identity by name, one's own before those that are shared; raises :class:`NotFoundError`."""
        query = (
            _info_query()
            .where(Identity.name_key == name_key(name), accessible_to(user_id, guild_id))
            .order_by(Identity.owner_id != user_id, Identity.id)
            .limit(1)
        )
        async with self._database.reading() as session:
            row = (await session.execute(query)).first()
        if row is None:
            raise NotFoundError(_UNKNOWN, name=name)
        return _info(row)

    async def all_accessible(
        self, user_id: int, guild_id: int | None, limit: int, offset: int = 0
    ) -> tuple[list[IdentityInfo], int]:
        """Some of the identities that a user may draw in a server, and how many there are.

        One's own come before those that are shared, each oldest first.
        """
        is_accessible = accessible_to(user_id, guild_id)
        query = (
            _info_query()
            .where(is_accessible)
            .order_by(Identity.owner_id != user_id, Identity.id)
            .limit(limit)
            .offset(offset)
        )
        async with self._database.reading() as session:
            page = [_info(row) for row in await session.execute(query)]
            return page, await session.scalar(select(func.count(Identity.id)).where(is_accessible)) or 0

    async def shared_with(
        self, user_id: int, guild_id: int | None, containing: str = "", limit: int = 25
    ) -> list[IdentityInfo]:
        """Other people's identities that a user may draw in a server, oldest first."""
        query = (
            _info_query()
            .where(Identity.owner_id != user_id, accessible_to(user_id, guild_id))
            .order_by(Identity.id)
            .limit(limit)
        )
        if containing.strip():
            query = query.where(Identity.name_key.contains(name_key(containing), autoescape=True))
        async with self._database.reading() as session:
            return [_info(row) for row in await session.execute(query)]

    async def rename(self, owner_id: int, name: str, new_name: str) -> IdentityInfo:
        """Give an identity another name; raises :class:`NotFoundError` or :class:`NameTakenError`."""
        async with self._database.transaction() as session:
            await lock_user(session, owner_id)
            found = await own_identity(session, owner_id, name)
            await _check_name_is_free(session, owner_id, new_name, except_for=found.id)
            await session.execute(
                update(Identity).where(Identity.id == found.id).values(name=new_name, name_key=name_key(new_name))
            )
            return await own_identity(session, owner_id, new_name)

    async def delete(self, owner_id: int, name: str) -> Removal:
        """Remove an identity with its photos, features and consent, and its name from what others had drawn of it.

        Raises :class:`NotFoundError`.
        """
        async with self._database.transaction() as session:
            await lock_user(session, owner_id)
            found = await own_identity(session, owner_id, name)
            await forget_names(session, [found.id], except_for=owner_id)
            await session.execute(delete(Identity).where(Identity.id == found.id))
        return Removal(found, await self._database.scrub())


def name_key(name: str) -> str:
    """A name as it is compared: compatibility-normalised, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def accessible_to(user_id: int, guild_id: int | None) -> ColumnElement[bool]:
    """The condition that a user may draw an identity in a server: it is theirs, or shared with them or the server."""
    shared = select(IdentityShare.identity_id).where(
        or_(
            (IdentityShare.kind == MEMBER) & (IdentityShare.target_id == user_id),
            (IdentityShare.kind == SERVER) & (IdentityShare.target_id == (guild_id or 0)),
        )
    )
    return or_(Identity.owner_id == user_id, Identity.id.in_(shared))


async def own_identity(session: AsyncSession, owner_id: int, which: int | str) -> IdentityInfo:
    """A user's identity by number or name; raises :class:`NotFoundError`."""
    is_it = Identity.id == which if isinstance(which, int) else Identity.name_key == name_key(which)
    row = (await session.execute(_info_query().where(Identity.owner_id == owner_id, is_it))).first()
    if row is not None:
        return _info(row)
    if isinstance(which, int):
        raise NotFoundError("This identity does not exist any more.")
    raise NotFoundError(_UNKNOWN, name=which)


async def identities_of(session: AsyncSession, owner_id: int) -> list[IdentityInfo]:
    """A user's identities, oldest first."""
    rows = await session.execute(_info_query().where(Identity.owner_id == owner_id).order_by(Identity.id))
    return [_info(row) for row in rows]


async def store_photos(session: AsyncSession, identity_id: int, start: int, photos: Sequence[NewPhoto]) -> None:
    """Add photos with their features at the positions from ``start``."""
    rows = [
        IdPhoto(identity_id=identity_id, position=position, content=photo.content)
        for position, photo in enumerate(photos, start)
    ]
    session.add_all(rows)
    await session.flush()
    session.add_all(
        IdFeature(photo_id=row.id, fingerprint=fingerprint, content=content)
        for row, photo in zip(rows, photos, strict=True)
        for fingerprint, content in photo.features.items()
    )
    await session.flush()


async def _check_name_is_free(session: AsyncSession, owner_id: int, name: str, except_for: int | None = None) -> None:
    query = select(Identity.id).where(Identity.owner_id == owner_id, Identity.name_key == name_key(name))
    if await session.scalar(query) not in (None, except_for):
        raise NameTakenError(
            "You already have an identity called “{name}”. Choose another name, or delete that one first.", name=name
        )


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


_UNKNOWN: Final = "You have no identity called “{name}”. Use /identity list to see yours, or /identity add to make one."
