"""The shards of ``photomaker dataset`` as training pictures: streamed, shuffled by a buffer, decoded in processes.

A sample's members are ``jpg``, ``mask.png``, ``txt`` and ``json``; samples of a person follow each other in one shard,
their key's part before the underscore is the same. The order of targets is a function of seed, process and number of
processes alone, so that a resumed run goes on at the same sample.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from photomaker_core.errors import PromptError, UserError
from photomaker_core.images.pixels import signed_pixels
from photomaker_core.images.preprocessing import clip_pixels
from photomaker_core.models.text_encoders import TextEncoders
from photomaker_core.models.vae import encode_pixels, fingerprint
from photomaker_core.training.id_photo import UNREADABLE, on_noise
from photomaker_core.training.pictures import Example, Prompts, UnusablePictureError, joined, tokenise
from photomaker_core.training.unusable_pictures import UnusablePictures
from photomaker_core.worker_processes import worker_pool

_BUFFER: Final = 512
_AHEAD: Final = 64
_MOST_PASSED_OVER: Final = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """One packed picture as bytes."""

    key: str
    picture: bytes
    mask: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class Position:
    """Which part of the stream a process takes: share ``rank`` of ``world``, from target number ``first`` on."""

    seed: int = 0
    rank: int = 0
    world: int = 1
    first: int = 0


@dataclass(slots=True)
class _Target:
    """A target with its person's samples; ``decoded`` is its picture and mask, on their way from a worker."""

    person: list[Sample]
    index: int
    decoded: Future[tuple[NDArray[np.uint8], NDArray[np.uint8]]] | None = field(default=None)


class ShardStream:
    """The targets of one process without end: (samples of a person, index of the target among them).

    Each epoch has the shards in an order of its own, of which the process takes every ``world``-th, and mixes the
    pictures in a buffer of ``buffer``. People with a single picture are left out: they have no ID photo.
    """

    def __init__(self, folder: Path, position: Position, buffer: int = _BUFFER) -> None:
        self._shards = sorted(folder.glob("*.tar"))
        self._position, self._buffer = position, buffer
        if len(self._shards) < position.world:
            raise UserError(
                f"{folder} holds {len(self._shards)} shards, fewer than the {position.world} processes that share them."
            )

    def __iter__(self) -> Iterator[tuple[list[Sample], int]]:
        left = self._position.first
        lengths: dict[Path, int] = {}
        epoch = 0
        while True:
            if left and all(path in lengths for path in self._shards_of(epoch)):
                length = sum(lengths[path] for path in self._shards_of(epoch))
                if left >= length > 0:
                    left, epoch = left - length, epoch + 1
                    continue
            count = 0
            for target in self._epoch(epoch, lengths):
                count += 1
                if left:
                    left -= 1
                    continue
                yield target
            if not count:
                raise UserError("The shards of this process hold nobody with two pictures.")
            epoch += 1

    def _shards_of(self, epoch: int) -> list[Path]:
        order = list(self._shards)
        Random(f"shards {self._position.seed} {epoch}").shuffle(order)
        return order[self._position.rank :: self._position.world]

    def _epoch(self, epoch: int, lengths: dict[Path, int]) -> Iterator[tuple[list[Sample], int]]:
        rng = Random(f"buffer {self._position.seed} {self._position.rank} {epoch}")
        buffer: list[tuple[list[Sample], int]] = []
        for path in self._shards_of(epoch):
            lengths[path] = 0
            for person in people_of(path):
                lengths[path] += len(person)
                for index in range(len(person)):
                    buffer.append((person, index))
                    if len(buffer) > self._buffer:
                        place = rng.randrange(len(buffer))
                        buffer[place], buffer[-1] = buffer[-1], buffer[place]
                        yield buffer.pop()
        rng.shuffle(buffer)
        yield from buffer


class ShardPictures:
    """Training pictures from shards, encoded by ``vae`` as they are asked for.

    An :class:`Example` is valid from the batch in which it was drawn until the next. ``workers`` processes decode
    targets ahead; 0 decodes them here. With ``latent_cache`` latents are computed once and kept in that
    folder, for this autoencoder, this size and this very picture.

    A picture that proves unusable is left out, with a warning that names it. A batch that is drawn anew for it takes
    nothing more of the stream, so that a resumed run is at the same place.
    """

    def __init__(
        self,
        folder: Path,
        vae: Any,
        side_px: int,
        position: Position,
        *,
        workers: int = 2,
        buffer: int = _BUFFER,
        latent_cache: Path | None = None,
    ) -> None:
        self._vae, self._side_px = vae, side_px
        self._stream = iter(ShardStream(folder, position, buffer))
        self._ahead: deque[_Target] = deque()
        self._batch: list[_Target] = []
        self._unusable, self._is_drawn_anew = UnusablePictures(), False
        self._pool = worker_pool(workers) if workers > 0 else None
        self._latent_side = side_px // 2 ** (len(vae.config.block_out_channels) - 1)
        self._cache = latent_cache
        if latent_cache is not None:
            latent_cache.mkdir(parents=True, exist_ok=True)
            self._vae_fingerprint = fingerprint(vae)

    @property
    def side_px(self) -> int:
        return self._side_px

    def random_examples(self, count: int, rng: Random) -> list[Example]:
        """The stream's next ``count`` targets; ``rng`` is not asked, the stream has its own order."""
        if self._is_drawn_anew:
            self._is_drawn_anew = False
            return self._usable_targets()
        self._look_ahead(count + (_AHEAD if self._pool is not None else 0))
        self._batch = [self._ahead.popleft() for _ in range(count)]
        return self._usable_targets()

    def prompts(self, examples: list[Example], text: TextEncoders, rng: Random, *, describe_identity: bool) -> Prompts:
        rows = []
        for example in examples:
            try:
                rows.append(tokenise(text, [self._sample(example).caption]))
            except PromptError as error:
                raise self._no_target(example, str(error)) from error
        return joined(rows)

    def latents(self, examples: list[Example]) -> Tensor:
        if self._cache is None:
            return self._encoded(examples)
        rows: dict[int, Tensor] = {}
        missing = []
        for number, example in enumerate(examples):
            path = self._cached(example)
            if path.exists():
                rows[number] = torch.from_numpy(np.load(path)).float()
            else:
                missing.append(number)
        if missing:
            for number, latent in zip(missing, self._encoded([examples[one] for one in missing]), strict=True):
                rows[number] = latent
                self._keep(self._cached(examples[number]), latent)
        return torch.stack([rows[number] for number in range(len(examples))])

    def masks(self, examples: list[Example], meant: Tensor) -> Tensor:
        stacked = torch.from_numpy(np.stack([self._decoded(example)[1] for example in examples])).unsqueeze(1).float()
        return functional.interpolate(stacked / 255, (self._latent_side, self._latent_side), mode="area")

    def regions(self, examples: list[Example], rng: Random) -> None:
        """A photograph shows one person who is meant."""

    def loss_weights(self, examples: list[Example]) -> Tensor:
        return torch.ones(len(examples), 1, self._latent_side, self._latent_side)

    def id_photos(self, example: Example, person: int, rng: Random, most: int) -> list[Example]:
        pictures = len(self._batch[example.identity].person)
        chosen = self._unusable.id_photos(example, pictures, lambda one: self._sample(one).key, rng, most)
        if not chosen:
            raise self._no_target(example, "the person has no other usable picture.")
        return chosen

    def id_pixels(self, examples: list[Example], side_px: int, rng: Random) -> Tensor:
        """The person cut out, on random noise (paper, 3.2), so that nothing is learned from the background."""
        seeds = [rng.getrandbits(32) for _ in examples]
        samples = [self._sample(example) for example in examples]
        work = [(one.picture, one.mask, seed) for one, seed in zip(samples, seeds, strict=True)]
        futures = None if self._pool is None else [self._pool.submit(cut_out, *one) for one in work]
        photos = []
        for number, example in enumerate(examples):
            try:
                photos.append(cut_out(*work[number]) if futures is None else futures[number].result())
            except UNREADABLE as error:
                raise self._broken(example, error) from error
        return clip_pixels(photos, side_px)

    def _look_ahead(self, count: int) -> None:
        while len(self._ahead) < count:
            person, index = next(self._stream)
            target = _Target(person, index)
            if self._pool is not None:
                sample = person[index]
                target.decoded = self._pool.submit(decode_target, sample.picture, sample.mask, self._side_px)
            self._ahead.append(target)

    def _usable_targets(self) -> list[Example]:
        """The batch's targets; in the place of an unusable one stands its person's next, or one of the next person."""
        for number in range(len(self._batch)):
            place = 0
            while self._usable_index(self._batch[number]) is None:
                if place == _MOST_PASSED_OVER:
                    raise UserError(f"None of {place} pictures on end can be used; see the warnings that name them.")
                self._look_ahead(place + 1)
                self._batch[number] = self._ahead[place]
                place += 1
        indices = [self._usable_index(target) for target in self._batch]
        return [Example(number, index) for number, index in enumerate(indices) if index is not None]

    def _usable_index(self, target: _Target) -> int | None:
        count = len(target.person)
        order = [(target.index + step) % count for step in range(count)]
        return next((index for index in order if self._unusable.is_target(target.person[index].key)), None)

    def _broken(self, example: Example, error: Exception) -> UnusablePictureError:
        self._is_drawn_anew = True
        key = self._sample(example).key
        return self._unusable.broken(key, key, f"it cannot be read: {error}")

    def _no_target(self, example: Example, reason: str) -> UnusablePictureError:
        self._is_drawn_anew = True
        key = self._sample(example).key
        return self._unusable.no_target(key, key, reason)

    def _sample(self, example: Example) -> Sample:
        return self._batch[example.identity].person[example.picture]

    def _decoded(self, example: Example) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        target, sample = self._batch[example.identity], self._sample(example)
        try:
            if target.index == example.picture and target.decoded is not None:
                return target.decoded.result()
            return decode_target(sample.picture, sample.mask, self._side_px)
        except UNREADABLE as error:
            raise self._broken(example, error) from error

    @torch.no_grad()
    def _encoded(self, examples: list[Example]) -> Tensor:
        pictures = np.stack([self._decoded(example)[0] for example in examples])
        with torch.autocast(self._vae.device.type, enabled=False):
            latents: Tensor = encode_pixels(self._vae, signed_pixels(pictures).to(self._vae.device)).cpu()
        return latents

    def _cached(self, example: Example) -> Path:
        assert self._cache is not None
        sample = self._sample(example)
        origin = hashlib.sha256(f"{self._vae_fingerprint} {self._side_px} ".encode() + sample.picture)
        return self._cache / f"{sample.key}-{origin.hexdigest()[:16]}.npy"

    def _keep(self, path: Path, latent: Tensor) -> None:
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.save(file, latent.half().numpy())
        partial.replace(path)


def people_of(shard: Path) -> Iterator[list[Sample]]:
    """The people of a shard who have two pictures or more, one at a time in memory."""
    samples = (_sample(members) for members in _members(shard))
    for _, person in groupby(samples, key=lambda sample: sample.key.partition("_")[0]):
        pictures = list(person)
        if len(pictures) > 1:
            yield pictures


def decode_target(picture: bytes, mask: bytes, side_px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The target [side, side, 3] and its person mask [side, side], both uint8; runs in a worker."""
    size = (side_px, side_px)
    pixels = Image.open(io.BytesIO(picture)).convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(pixels), np.asarray(Image.open(io.BytesIO(mask)).convert("L").resize(size))


def cut_out(picture: bytes, mask: bytes, noise_seed: int) -> Image.Image:
    """The person alone in a square of noise; runs in a worker."""
    photo, shape = Image.open(io.BytesIO(picture)).convert("RGB"), Image.open(io.BytesIO(mask)).convert("L")
    return on_noise(photo, shape, noise_seed)


def _members(shard: Path) -> Iterator[Mapping[str, Any]]:
    try:
        from webdataset.tariterators import group_by_keys, tar_file_iterator
    except ImportError as error:
        raise UserError("Training from shards needs: pip install 'photomaker-bot[dataset]'") from error
    with shard.open("rb") as file:
        files = ({**one, "__url__": str(shard)} for one in tar_file_iterator(file))
        yield from group_by_keys(files)


def _sample(members: Mapping[str, Any]) -> Sample:
    try:
        return Sample(members["__key__"], members["jpg"], members["mask.png"], members["txt"].decode())
    except KeyError as error:
        raise UserError(
            f"The sample {members['__key__']} of {members['__url__']} has no member {error}; "
            "shards are made by photomaker dataset pack."
        ) from error
