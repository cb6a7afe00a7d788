"""Pictures to tensors and back: CLIP's pixels for the ID encoder, tensors to pictures, sheets of pictures.

Called by the conditioning for ID pixels, and by the engine for results. What uploads become is in
:mod:`~photomaker_core.images.photo_decoding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


def clip_pixels(photos: Sequence[Image.Image], side_px: int = 224) -> Tensor:
    """CLIP's preprocessing: shortest side to ``side_px`` bicubic, centre crop, CLIP's mean and std.

    Returns float32 [N, 3, side_px, side_px].
    """
    return torch.stack([_clip_pixels(photo, side_px) for photo in photos])


def tensor_to_images(pixels: Tensor) -> list[Image.Image]:
    """Turn [B, 3, H, W] in 0..1 into pictures; values outside are clipped."""
    array = (pixels.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return [Image.fromarray(np.asarray(one)) for one in array.permute(0, 2, 3, 1).cpu().numpy()]


def tile(pictures: Sequence[Image.Image], columns: int, gap_px: int = 2) -> Image.Image:
    """Lay pictures out on a grid of cells as large as the largest."""
    width, height = max(one.width for one in pictures), max(one.height for one in pictures)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap_px) - gap_px, rows * (height + gap_px) - gap_px), "white")
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * (width + gap_px), index // columns * (height + gap_px)))
    return sheet


def _clip_pixels(photo: Image.Image, side_px: int) -> Tensor:
    photo = photo.convert("RGB")
    scale = side_px / min(photo.size)
    width, height = (max(side_px, int(edge * scale)) for edge in photo.size)
    resized = photo.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side_px) // 2, (height - side_px) // 2
    cropped = resized.crop((left, top, left + side_px, top + side_px))
    pixels = torch.from_numpy(np.asarray(cropped, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (pixels - mean) / std
