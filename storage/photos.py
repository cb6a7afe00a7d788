"""The photos of identities and their ID features. Called by the bot's identity service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.consents import Wording, record_consent
from storage.database import Database
from storage.errors import DuplicatePhotoError, LimitReachedError, NotFoundError, StorageError
from storage.identities import IdentityInfo, NewPhoto, Removal, accessible_to, own_identity, store_photos
from storage.limits import StorageLimits, check_bytes
from storage.models import Identity, IdFeature, IdPhoto
from storage.upserts import insert_or_replace
from storage.users import lock_user


@dataclass(frozen=True, slots=True)
class PhotoFeatures:
    """A stored photo's ID features for one fingerprint; ``None`` where they were not computed yet."""

    photo_id: int
    content: bytes | None


class PhotoStore:
    """Adds, reads and removes the photos of identities that exist."""

    def __init__(self, database: Database, limits: StorageLimits | None = None) -> None:
        self._database, self._limits = database, limits or StorageLimits()

    async def add(
        self,
        owner_id: int,
        which: int | str,
        photos: Sequence[NewPhoto],
        declaration: str | None = None,
        wording: Wording | None = None,
    ) -> IdentityInfo:
        """Add photos with their features and the consent to an identity, by number or name, all of them or none.

        Without a ``declaration``, the one that was made last for this identity holds for them too.

        Raises :class:`NotFoundError`, :class:`DuplicatePhotoError` or :class:`LimitReachedError`.
        """
        async with self._database.transaction() as session:
            await lock_user(session, owner_id)
            found = await self._check_room(session, owner_id, which, [photo.content for photo in photos])
            last = await session.scalar(select(func.max(IdPhoto.position)).where(IdPhoto.identity_id == found.id))
            await store_photos(session, found.id, 0 if last is None else last + 1, photos)
            record_consent(session, found.id, owner_id, declaration or found.declaration, wording, len(photos))
            return await own_identity(session, owner_id, which)

    async def check_addition(self, owner_id: int, which: int | str, photos: Sequence[bytes]) -> None:
        """Raise what :meth:`add` would raise at this moment: for a refusal before the work, beside the one after it."""
        async with self._database.reading() as session:
            await self._check_room(session, owner_id, which, photos)

    async def _check_room(
        self, session: AsyncSession, owner_id: int, which: int | str, photos: Sequence[bytes]
    ) -> IdentityInfo:
        found = await own_identity(session, owner_id, which)
        most = self._limits.photos
        if most is not None and found.photo_count + len(photos) > most:
            raise LimitReachedError(
                "“{name}” has {photos} photos; {most} are the most. Remove some first.",
                name=found.name,
                photos=found.photo_count,
                most=most,
            )
        same = select(IdPhoto.id).where(IdPhoto.identity_id == found.id, IdPhoto.content.in_(photos)).limit(1)
        if await session.scalar(same) is not None:
            raise DuplicatePhotoError("One of these photos belongs to “{name}” already.", name=found.name)
        await check_bytes(session, self._limits, owner_id, photos)
        return found

    async def remove(self, owner_id: int, name: str, number: int) -> Removal:
        """Remove the ``number``-th photo, from 1, from the database's files too; the last one stays.

        Raises :class:`NotFoundError`, or :class:`StorageError` for the last photo and one that is not there.
        """
        async with self._database.transaction() as session:
            await lock_user(session, owner_id)
            found = await own_identity(session, owner_id, name)
            if found.photo_count == 1:
                raise StorageError(
                    "“{name}” has only this photo. To remove the person, use /identity delete.", name=found.name
                )
            ids = select(IdPhoto.id).where(IdPhoto.identity_id == found.id).order_by(IdPhoto.position)
            photo_ids = (await session.scalars(ids)).all()
            if not 1 <= number <= len(photo_ids):
                raise StorageError(
                    "“{name}” has photos 1 to {last}; there is no number {number}.",
                    name=found.name,
                    last=len(photo_ids),
                    number=number,
                )
            await session.execute(delete(IdPhoto).where(IdPhoto.id == photo_ids[number - 1]))
            left = await own_identity(session, owner_id, name)
        return Removal(left, await self._database.scrub())

    async def contents(self, identity_id: int) -> list[bytes]:
        """An identity's photos, in order."""
        async with self._database.reading() as session:
            return await photos_of(session, identity_id)

    async def contents_by_id(self, photo_ids: Iterable[int]) -> dict[int, bytes]:
        """Photos by their ids; those that are gone are left out."""
        query = select(IdPhoto.id, IdPhoto.content).where(IdPhoto.id.in_(list(photo_ids)))
        async with self._database.reading() as session:
            return dict((await session.execute(query)).tuples().all())

    async def features(
        self, user_id: int, guild_id: int | None, identity_ids: Sequence[int], fingerprint: str
    ) -> list[list[PhotoFeatures]]:
        """The ID features of the photos of each identity, in the photos' order, without the photos themselves.

        Raises :class:`NotFoundError` when one of the identities is gone, or not the user's to draw in that server.
        """
        query = (
            select(Identity.id, IdPhoto.id, IdFeature.content)
            .join(IdPhoto, IdPhoto.identity_id == Identity.id)
            .outerjoin(IdFeature, (IdFeature.photo_id == IdPhoto.id) & (IdFeature.fingerprint == fingerprint))
            .where(Identity.id.in_(identity_ids), accessible_to(user_id, guild_id))
            .order_by(IdPhoto.position)
        )
        found: dict[int, list[PhotoFeatures]] = {}
        async with self._database.reading() as session:
            for identity_id, photo_id, content in await session.execute(query):
                found.setdefault(identity_id, []).append(PhotoFeatures(photo_id, content))
        if not found.keys() >= set(identity_ids):
            raise NotFoundError("This identity does not exist any more.")
        return [found[identity_id] for identity_id in identity_ids]

    async def keep_features(self, fingerprint: str, features: Mapping[int, bytes]) -> None:
        """Store computed features by photo id; photos that were removed in the meantime are passed over."""
        async with self._database.transaction() as session:
            query = select(IdPhoto.id).where(IdPhoto.id.in_(features)).with_for_update(read=True, key_share=True)
            rows = [
                {"photo_id": photo_id, "fingerprint": fingerprint, "content": features[photo_id]}
                for photo_id in await session.scalars(query)
            ]
            if rows:
                await insert_or_replace(session, IdFeature, rows, key=("photo_id", "fingerprint"))


async def photos_of(session: AsyncSession, identity_id: int) -> list[bytes]:
    """An identity's photos, in order."""
    query = select(IdPhoto.content).where(IdPhoto.identity_id == identity_id).order_by(IdPhoto.position)
    return list(await session.scalars(query))
