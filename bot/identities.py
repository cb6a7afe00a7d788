"""The identity desk: uploads become stored identities, stored identities become ID features."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bot.gpu import GpuThread
from bot.names import checked_name
from bot.requests import IdentityShare
from photomaker_core.conditioning import blend_stacks
from photomaker_core.engine import StepEngine
from photomaker_core.errors import PhotoError
from photomaker_core.images import load_photo, normalise_photo
from storage import Database, IdentityInfo, IdentityStore, NewPhoto, StoredPhoto

MAX_MIXED_PHOTOS = 8


class IdentityDesk:
    """Adds identities and hands out their features. Reading and listing go to ``store`` directly."""

    def __init__(self, database: Database, gpu: GpuThread) -> None:
        self.store = IdentityStore(database)
        self._gpu = gpu

    async def add(
        self, owner_id: int, name: str, uploads: Sequence[tuple[str, bytes]], declaration: str
    ) -> IdentityInfo:
        """Store a new identity from (file name, content) uploads, all of them or nothing.

        Raises :class:`IdentityNameError`, :class:`PhotoError` or :class:`StorageError`.
        """
        name = checked_name(name)
        photos = [await asyncio.to_thread(normalise_photo, content, filename) for filename, content in uploads]
        if len(set(photos)) < len(photos):
            raise PhotoError("Two of these photos are the same. Different photos of the person work better.")
        info = await self.store.add(owner_id, name, [NewPhoto(photo) for photo in photos], declaration)
        try:
            await self._stack(info.id)
        except PhotoError:
            await self.store.delete(owner_id, name)
            raise
        return info

    async def features(self, owner_id: int, shares: Sequence[IdentityShare]) -> Tensor:
        """The ID features [N, T, D] of one person, or of several blended by weight.

        Raises :class:`NotFoundError` when one of them is not (or no longer) the owner's.
        """
        for share in shares:
            await self.store.owned(owner_id, share.identity_id)
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
