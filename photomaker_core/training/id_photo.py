"""ID photos as PhotoMaker is trained on them: the person cut out, on random noise (paper, 3.2)."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

_MARGIN: Final = 0.1
UNREADABLE: Final = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for broken pictures: its PNG reader has SyntaxErrors too."""


def on_noise(photo: Image.Image, mask: Image.Image, seed: int) -> Image.Image:
    """The person in a square around ``mask`` (mode L, the photo's size); all else is noise by ``seed``.

    A photo whose mask is empty is given back as it is.
    """
    box = mask.getbbox()
    if box is None:
        return photo
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (0.5 + _MARGIN)
    middle = ((left + right) / 2, (top + bottom) / 2)
    square = tuple(round(centre + sign * half) for sign in (-1, 1) for centre in middle)
    side = max(1, square[2] - square[0])
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    frame = Image.fromarray(noise)
    frame.paste(photo, (-square[0], -square[1]), mask)
    return frame
