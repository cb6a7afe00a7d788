"""Measures how often the watermark is read after what happens to pictures, and how often where there is none; and
whether the signed manifest is valid before and after, where the extra ``provenance`` is installed.

Photos of a folder, cut at random and brought to ``--side`` pixels, and drawn people of the same size:

    python -m scripts.watermark_rates PHOTOS --marked 200 --unmarked 1000
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from PIL import Image

from photomaker_core.nano.portrait_set import identity_number, scene_number
from photomaker_core.nano.portraits import draw
from photomaker_core.provenance.certificates import make_certificate
from photomaker_core.provenance.manifest import can_use_manifests, read_manifest
from photomaker_core.provenance.marking import Marking
from photomaker_core.provenance.watermark import embed, read

_CROPPED: Final = 0.9
_PREVIEW_PX: Final = 550
"""Discord shows pictures in a message at most so wide."""


def _jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _crop(picture: Image.Image) -> Image.Image:
    random = Random(picture.tobytes()[:4096])
    side = round(_CROPPED * picture.width)
    left, top = (random.randrange(picture.width - side) for _ in range(2))
    return picture.crop((left, top, left + side, top + side))


def _resized(picture: Image.Image, side: int) -> Image.Image:
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def _half(picture: Image.Image) -> Image.Image:
    return _resized(picture, picture.width // 2)


def _webp(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    return Image.open(buffer).convert("RGB")


def _as_preview(picture: Image.Image) -> Image.Image:
    """As Discord's media proxy encodes a picture for a message: WebP, no larger than it is shown."""
    return _webp(_resized(picture, min(_PREVIEW_PX, picture.width)), 80)


_CHANGES: Final[dict[str, Callable[[Image.Image], Image.Image]]] = {
    "unchanged": lambda picture: picture,
    "JPEG 70": lambda picture: _jpeg(picture, 70),
    "half size": _half,
    "crop of 10 % (width and height)": _crop,
    "half size, JPEG 70": lambda picture: _jpeg(_half(picture), 70),
    "crop, JPEG 70": lambda picture: _jpeg(_crop(picture), 70),
    "crop, half size, JPEG 70": lambda picture: _jpeg(_half(_crop(picture)), 70),
    "WebP 80": lambda picture: _webp(picture, 80),
    "Discord's preview (550 pixels, WebP 80)": _as_preview,
}


def _pictures(folder: Path, count: int, seed: int, side_px: int) -> Iterator[Image.Image]:
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
        yield picture.resize((side_px, side_px), Image.Resampling.BICUBIC)


def _check_manifests(pictures: Iterator[Image.Image]) -> None:
    """Signs files of each form, and counts what their manifests say then, and after one bit or all were changed."""
    states: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        marking = Marking("measurement", certificate=make_certificate(Path(folder) / "keys", "measurement"))
        for picture in pictures:
            files = {"png": marking.png(picture), "jpeg": marking.jpeg(picture, 85), "webp": marking.webp(picture, 85)}
            for form, content in files.items():
                tampered = bytearray(content)
                # In the pixels' own data: WebP has its manifest behind them, the others before.
                tampered[len(content) // 8 if form == "webp" else -len(content) // 3] ^= 1
                anew = io.BytesIO()
                Image.open(io.BytesIO(content)).save(anew, form, quality=70)
                changed = {"as signed": content, "one bit changed": bytes(tampered), "encoded anew": anew.getvalue()}
                for name, one in changed.items():
                    states[f"{form.upper()} {name}: {read_manifest(one, f'image/{form}').validity.value}"] += 1
    for state, number in sorted(states.items()):
        print(f"{state}, {number} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--marked", type=int, default=200)
    parser.add_argument("--unmarked", type=int, default=1000)
    parser.add_argument("--side", type=int, default=1024, help="in pixels")
    parser.add_argument("--any-scale", type=int, default=50, help="how many unmarked ones are searched at every scale")
    options = parser.parse_args()
    found: defaultdict[str, int] = defaultdict(int)
    agreements: defaultdict[str, list[float]] = defaultdict(list)
    psnr, embed_s = [], []
    for number, picture in enumerate(_pictures(options.photos, options.marked, 1, options.side)):
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
    if can_use_manifests():
        _check_manifests(_pictures(options.photos, options.marked, 1, options.side))
    wrong, began = 0, time.process_time()
    for number, picture in enumerate(_pictures(options.photos, options.unmarked, 100_000, options.side)):
        wrong += read(picture, any_scale=number < options.any_scale) is not None
    print(f"unmarked: {wrong} of {options.unmarked} read, {time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
