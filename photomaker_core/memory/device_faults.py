"""Tells what a failed computation says about the device: that its memory is full, or that it is lost.

Called by the runner and by the encoding of photos.
"""

from __future__ import annotations

import traceback
from typing import Final

import torch

from photomaker_core.errors import DrawingError

_OUT_OF_MEMORY_SIGNS: Final = ("out of memory", "can't allocate memory")
_LOST_SIGNS: Final = ("device lost", "device_lost", "device removed", "device-side assert")


class DeviceLostError(Exception):
    """Nothing can be computed on the device any more; only a new process can use it."""


def is_out_of_memory(error: BaseException) -> bool:
    """True where torch ran out of memory, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY_SIGNS)
    )


def no_room() -> DrawingError:
    """The error of a picture that does not fit even alone."""
    return DrawingError("There is not enough memory for this picture. Please try a smaller shape.")


def free_memory_after(error: BaseException) -> None:
    """Let go of what the failed computation held: its traceback keeps every layer's tensors alive."""
    traceback.clear_frames(error.__traceback__)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def require_device(device: torch.device, error: BaseException) -> None:
    """Raise :class:`DeviceLostError` from ``error`` where the device has been lost by it.

    After an illegal access, say, CUDA fails every call that follows. So a CUDA device is asked for a sum; of other
    devices the error's text is all there is.
    """
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return
    if device.type == "cuda":
        try:
            torch.ones(1, device=device).add(1).item()
        except RuntimeError as answer:
            if not is_out_of_memory(answer):
                raise DeviceLostError(f"{device} is lost: {error}") from error
    elif any(sign in str(error).lower() for sign in _LOST_SIGNS):
        raise DeviceLostError(f"{device} is lost: {error}") from error
