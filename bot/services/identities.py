"""The identity desk: uploads become stored identities, stored identities become ID features."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bot.domain.draw_request import WeightedIdentity
from bot.domain.identity_names import checked_name
from bot.workers.gpu_thread import GpuThread
from photomaker_core.conditioning.stacking import blend_stacks
from photomaker_core.errors import PhotoError
from photomaker_core.images.decoding_pool import photo_pool
from photomaker_core.images.photo_decoding import load_photo
from photomaker_core.images.photo_quality import PhotoReport
from photomaker_core.sampling.step_engine import StepEngine
from storage import (
    Database,
    IdentityInfo,
    IdentityStore,
    NewPhoto,
    PreferenceStore,
    SharingStore,
    StoredPhoto,
)

MAX_MIXED_PHOTOS = 8
MAX_PHOTOS = 10

Upload = tuple[str, bytes]
"""File name and content."""


@dataclass(frozen=True, slots=True)
class AddedPhotos:
    """What came of an addition: the identity, the new photos as they are stored, and a report on each."""

    info: IdentityInfo
    photos: list[bytes]
    reports: list[PhotoReport]


class IdentityService:
    """Adds identities and hands out their features. Reading and listing go to ``store`` directly."""

    def __init__(self, database: Database, gpu: GpuThread) -> None:
        self.store = IdentityStore(database)
        self.sharing = SharingStore(database)
        self.preferences = PreferenceStore(database)
        self._gpu = gpu

    async def add(self, owner_id: int, name: str, uploads: Sequence[Upload], declaration: str) -> AddedPhotos:
        """Store a new identity from uploads, all of them or nothing.

        Raises :class:`IdentityNameError`, :class:`PhotoError` or :class:`StorageError`.
        """
        name = checked_name(name)
        photos, reports = await self._normalised(uploads)
        info = await self.store.add(owner_id, name, [NewPhoto(photo) for photo in photos], declaration)
        try:
            await self._stack(info.id)
        except PhotoError:
            await self.store.delete(owner_id, name)
            raise
        return AddedPhotos(info, photos, reports)

    async def add_photos(self, owner_id: int, name: str, uploads: Sequence[Upload]) -> AddedPhotos:
        """Add photos to an identity, all of them or nothing; raises as :meth:`add` does."""
        before = await self.store.find(owner_id, name)
        photos, reports = await self._normalised(uploads)
        known = {photo.content for photo in await self.store.photos(before.id)}
        if known.intersection(photos):
            raise PhotoError("One of these photos belongs to “{name}” already.", name=before.name)
        info = await self.store.add_photos(owner_id, name, [NewPhoto(photo) for photo in photos], MAX_PHOTOS)
        try:
            await self._stack(info.id)
        except PhotoError:
            for number in range(info.photo_count, before.photo_count, -1):
                await self.store.remove_photo(owner_id, name, number)
            raise
        return AddedPhotos(info, photos, reports)

    async def _normalised(self, uploads: Sequence[Upload]) -> tuple[list[bytes], list[PhotoReport]]:
        if not 1 <= len(uploads) <= MAX_PHOTOS:
            raise PhotoError(
                "An identity has between 1 and {most} photos; these are {photos}.",
                most=MAX_PHOTOS,
                photos=len(uploads),
            )
        prepared = [await asyncio.wrap_future(photo_pool().submit(content, filename)) for filename, content in uploads]
        photos = [one.content for one in prepared]
        if len(set(photos)) < len(photos):
            raise PhotoError("Two of these photos are the same. Different photos of the person work better.")
        return photos, [one.report for one in prepared]

    async def features(self, user_id: int, guild_id: int | None, shares: Sequence[WeightedIdentity]) -> Tensor:
        """The ID features [N, T, D] of one person, or of several blended by weight.

        Raises :class:`NotFoundError` when one of them is not (or no longer) the user's to draw in that server.
        """
        for share in shares:
            await self.store.usable(user_id, guild_id, share.identity_id)
        stacks = [await self._stack(share.identity_id) for share in shares]
        return blend_stacks(stacks, [share.weight for share in shares], MAX_MIXED_PHOTOS)

    async def _stack(self, identity_id: int) -> Tensor:
        """All photos' features, computing and keeping those that this ID encoder has not seen yet."""
        model = await asyncio.wrap_future(self._gpu.loaded)
        photos = await self.store.photos(identity_id, model.fingerprint)
        shape = (model.id_encoder.tokens_per_photo, model.id_encoder.width)
        known = {photo.id: _from_bytes(photo.features, shape) for photo in photos if photo.features is not None}
        missing = [photo for photo in photos if photo.id not in known]
        if missing:
            encoded = await asyncio.wrap_future(self._gpu.call(lambda engine: _encode(engine, missing)))
            computed = {photo.id: one for photo, one in zip(missing, encoded, strict=True)}
            await self.store.keep_features(model.fingerprint, {key: _to_bytes(one) for key, one in computed.items()})
            known |= computed
        return torch.stack([known[photo.id] for photo in photos])


def _encode(engine: StepEngine, photos: Sequence[StoredPhoto]) -> list[Tensor]:
    return list(engine.model.encode_photos([load_photo(photo.content) for photo in photos]))


def _to_bytes(features: Tensor) -> bytes:
    return features.numpy().astype("<f4").tobytes()


def _from_bytes(content: bytes, shape: tuple[int, int]) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, dtype="<f4").reshape(shape).copy())
