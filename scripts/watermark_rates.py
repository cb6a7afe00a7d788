"""Measures how often the watermark is read after what happens to pictures, and how often where there is none.

Photos of a folder, cut at random and brought to 1024 pixels, and drawn people of the same size:

    python -m scripts.watermark_rates PHOTOS --marked 200 --unmarked 1000
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from PIL import Image

from photomaker_core.nano.portrait_set import identity_number, scene_number
from photomaker_core.nano.portraits import draw
from photomaker_core.provenance.watermark import embed, read

_SIDE_PX: Final = 1024
_CROPPED_PX: Final = 922


def _jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _crop(picture: Image.Image) -> Image.Image:
    random = Random(picture.tobytes()[:4096])
    left, top = (random.randrange(_SIDE_PX - _CROPPED_PX) for _ in range(2))
    return picture.crop((left, top, left + _CROPPED_PX, top + _CROPPED_PX))


def _half(picture: Image.Image) -> Image.Image:
    return picture.resize((_SIDE_PX // 2, _SIDE_PX // 2), Image.Resampling.LANCZOS)


_CHANGES: Final[dict[str, Callable[[Image.Image], Image.Image]]] = {
    "unchanged": lambda picture: picture,
    "JPEG 70": lambda picture: _jpeg(picture, 70),
    "half size": _half,
    "crop of 10 % (width and height)": _crop,
    "half size, JPEG 70": lambda picture: _jpeg(_half(picture), 70),
    "crop, JPEG 70": lambda picture: _jpeg(_crop(picture), 70),
    "crop, half size, JPEG 70": lambda picture: _jpeg(
        _crop(picture).resize((_CROPPED_PX // 2, _CROPPED_PX // 2), Image.Resampling.LANCZOS), 70
    ),
}


def _pictures(folder: Path, count: int, seed: int) -> Iterator[Image.Image]:
    """Cuts of photos and drawn people in turn."""
    random, photos = (
        Random(seed),
        sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".jpeg", ".png")),
    )
    for number in range(count):
        if number % 2:
            identity = seed + number
            picture = draw(identity_number(identity), scene_number(identity, 0))[0].convert("RGB")
        else:
            picture = Image.open(random.choice(photos)).convert("RGB")
            side = int(min(picture.size) * random.uniform(0.6, 1))
            left, top = random.randint(0, picture.width - side), random.randint(0, picture.height - side)
            picture = picture.crop((left, top, left + side, top + side))
            if random.random() < 0.5:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        yield picture.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--marked", type=int, default=200)
    parser.add_argument("--unmarked", type=int, default=1000)
    parser.add_argument("--any-scale", type=int, default=50, help="how many unmarked ones are searched at every scale")
    options = parser.parse_args()
    found: defaultdict[str, int] = defaultdict(int)
    agreements: defaultdict[str, list[float]] = defaultdict(list)
    psnr, embed_s = [], []
    for number, picture in enumerate(_pictures(options.photos, options.marked, seed=1)):
        tag = Random(number).getrandbits(32)
        began = time.process_time()
        marked = embed(picture, tag)
        embed_s.append(time.process_time() - began)
        error = np.mean((np.asarray(picture, float) - np.asarray(marked, float)) ** 2)
        psnr.append(10 * np.log10(255**2 / error))
        for name, change in _CHANGES.items():
            reading = read(change(marked), any_scale=False)
            if reading is not None and reading.tag == tag:
                found[name] += 1
                agreements[name].append(reading.agreement)
    print(f"PSNR: {min(psnr):.2f} to {max(psnr):.2f} dB, median {np.median(psnr):.2f}")
    print(f"embedding: median {np.median(embed_s):.3f} s, longest {max(embed_s):.3f} s of processor time")
    for name in _CHANGES:
        accuracy = np.mean(agreements[name] or [0])
        print(f"{name}: {found[name]} of {options.marked} read, {accuracy:.2%} of the coded bits right where read")
    wrong, began = 0, time.process_time()
    for number, picture in enumerate(_pictures(options.photos, options.unmarked, seed=100_000)):
        wrong += read(picture, any_scale=number < options.any_scale) is not None
    print(f"unmarked: {wrong} of {options.unmarked} read, {time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
