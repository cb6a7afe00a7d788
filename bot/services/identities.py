"""Identities: uploads become stored photos with their ID features, and the features go to whoever draws."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bot.domain.consent import wording_of
from bot.domain.draw_request import WeightedIdentity
from bot.domain.identity_names import checked_name
from bot.services.face_opt_outs import FaceOptOutService
from bot.services.upload_allowance import UploadAllowance
from bot.workers.model_worker import ModelWorker
from photomaker_core.conditioning.identity_mixing import blend_stacks
from photomaker_core.errors import PhotoError
from photomaker_core.images.decoding_pool import photo_pool
from photomaker_core.images.photo_quality import PhotoReport
from photomaker_core.serving.photo_encoding import encode_stored_photos
from storage import IdentityInfo, IdentityStore, NewPhoto, NotFoundError, PhotoStore, PreferenceStore

MAX_MIXED_PHOTOS = 8
MAX_PHOTOS = 10

Upload = tuple[str, bytes]
"""File name and content."""


@dataclass(frozen=True, slots=True)
class AddedPhotos:
    """The outcome of an addition: the identity, the new photos as they are stored, a report on each, and the
    indices of those that do not seem to show the person of the others."""

    info: IdentityInfo
    photos: list[bytes]
    reports: list[PhotoReport]
    strangers: list[int]


class IdentityService:
    """Adds identities and hands out their features.

    Photos are encoded before anything is stored, so that a person is there whole or not at all, whatever ends the work
    in between. Until the model is loaded, an addition waits for it.
    """

    def __init__(
        self,
        store: IdentityStore,
        photos: PhotoStore,
        preferences: PreferenceStore,
        gpu: ModelWorker,
        uploads: UploadAllowance,
        faces: FaceOptOutService,
    ) -> None:
        self.store, self.preferences, self.uploads = store, preferences, uploads
        self._photos, self._gpu, self._faces = photos, gpu, faces

    async def add(self, owner_id: int, name: str, uploads: Sequence[Upload], declaration: str) -> AddedPhotos:
        """Store a new identity from uploads, all of them or nothing.

        Raises :class:`IdentityNameError`, :class:`PhotoError` or :class:`StorageError`.
        """
        name = checked_name(name)
        photos, reports = await self._normalised(uploads)
        await self.store.check_addition(owner_id, name, photos)
        strangers = await self._faces.check(owner_id, photos)
        info = await self.store.add(owner_id, name, await self._encoded(photos), declaration, wording_of(declaration))
        self._faces.compare_new()
        return AddedPhotos(info, photos, reports, strangers)

    async def add_photos(
        self, owner_id: int, which: int | str, uploads: Sequence[Upload], declaration: str
    ) -> AddedPhotos:
        """Add photos to an identity, by number or name, all of them or nothing; raises as :meth:`add` does."""
        photos, reports = await self._normalised(uploads)
        await self._photos.check_addition(owner_id, which, photos)
        strangers = await self._faces.check(owner_id, photos)
        encoded = await self._encoded(photos)
        info = await self._photos.add(owner_id, which, encoded, declaration, wording_of(declaration))
        self._faces.compare_new()
        return AddedPhotos(info, photos, reports, strangers)

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

    async def _encoded(self, photos: Sequence[bytes]) -> list[NewPhoto]:
        """Photos with their features, to be stored together."""
        model = await asyncio.wrap_future(self._gpu.loaded)
        encoded = await self._features_of(photos)
        return [
            NewPhoto(photo, {model.fingerprint: _to_bytes(features)})
            for photo, features in zip(photos, encoded, strict=True)
        ]

    async def features(self, user_id: int, guild_id: int | None, people: Sequence[WeightedIdentity]) -> Tensor:
        """The ID features [N, T, D] of one person, or of several blended by weight; raises as :meth:`stacks` does."""
        stacks = await self.stacks(user_id, guild_id, people)
        return blend_stacks(stacks, [one.weight for one in people], MAX_MIXED_PHOTOS)

    async def stacks(self, user_id: int, guild_id: int | None, people: Sequence[WeightedIdentity]) -> Sequence[Tensor]:
        """The ID features [N, T, D] of each person.

        Those that this ID encoder has not computed yet are computed and kept. Raises :class:`NotFoundError` when one of
        them is not (or no longer) the user's to draw in that server.
        """
        model = await asyncio.wrap_future(self._gpu.loaded)
        ids = [one.identity_id for one in people]
        stored = await self._photos.features(user_id, guild_id, ids, model.fingerprint)
        shape = (model.tokens_per_photo, model.feature_width)
        known = {
            one.photo_id: _from_bytes(one.content, shape)
            for photos in stored
            for one in photos
            if one.content is not None
        }
        missing = {one.photo_id for photos in stored for one in photos} - known.keys()
        if missing:
            known |= await self._computed(missing, model.fingerprint)
        stacks = [[known[one.photo_id] for one in photos if one.photo_id in known] for photos in stored]
        if not all(stacks):
            raise NotFoundError("This identity does not exist any more.")
        return [torch.stack(stack) for stack in stacks]

    async def _computed(self, photo_ids: Iterable[int], fingerprint: str) -> dict[int, Tensor]:
        """Features of stored photos, computed and kept; photos that were removed in the meantime are left out."""
        contents = await self._photos.contents_by_id(photo_ids)
        photos = list(contents.values())
        encoded = await self._features_of(photos)
        computed = dict(zip(contents, encoded, strict=True))
        await self._photos.keep_features(fingerprint, {key: _to_bytes(one) for key, one in computed.items()})
        return computed

    async def _features_of(self, photos: Sequence[bytes]) -> Tensor:
        """The features [N, T, D] of photos, computed between two steps."""
        return await asyncio.wrap_future(self._gpu.call(partial(encode_stored_photos, photos=photos)))


def _to_bytes(features: Tensor) -> bytes:
    return features.numpy().astype("<f4").tobytes()


def _from_bytes(content: bytes, shape: tuple[int, int]) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, dtype="<f4").reshape(shape).copy())
