"""Stored photos to ID features, beside whatever is being drawn. Called by the bot between two steps."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from photomaker_core.errors import PhotoError
from photomaker_core.images.photo_decoding import load_photo
from photomaker_core.memory.device_faults import free_memory_after, is_out_of_memory, require_device
from photomaker_core.sampling.step_engine import StepEngine

log = logging.getLogger(__name__)


def encode_stored_photos(engine: StepEngine, photos: Sequence[bytes]) -> Tensor:
    """ID features [N, T, D] in float32 on the CPU, of photos as they are stored.

    Out of memory, it goes on with half of them at a time. Raises :class:`~photomaker_core.errors.PhotoError` as
    :meth:`PhotoMaker.encode_photos` does and where one photo finds no room, and
    :class:`~photomaker_core.memory.device_faults.DeviceLostError`.
    """
    try:
        return engine.model.encode_photos([load_photo(photo) for photo in photos])
    except Exception as error:
        require_device(engine.model.base.hardware.device, error)
        if not is_out_of_memory(error):
            raise
        log.warning("encoding %d photos ran out of memory: %s", len(photos), error)
        free_memory_after(error)
        if len(photos) == 1:
            raise PhotoError(
                "There is not enough memory for your photos right now. Please try again in a few minutes."
            ) from error
    half = len(photos) // 2
    return torch.cat([encode_stored_photos(engine, photos[:half]), encode_stored_photos(engine, photos[half:])])
