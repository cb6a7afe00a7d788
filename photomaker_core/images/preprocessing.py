"""Pictures in and out: uploads to normalised photos, photos to CLIP pixels, tensors to pictures.

Called by the bot for uploads, by the conditioning for ID pixels, and by the engine for results.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from photomaker_core.errors import PhotoError

MAX_UPLOAD_BYTES: Final = 10 * 1024 * 1024
MAX_STORED_SIDE_PX: Final = 1024
MIN_SIDE_PX: Final = 64
_MAX_PIXELS: Final = 64_000_000
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


def normalise_photo(content: bytes, name: str = "This photo") -> bytes:
    """Turn an upload into the JPEG that is stored: upright, RGB, no metadata, longest side at most 1024.

    The first frame of an animation is taken and transparency is laid on white. Raises
    :class:`PhotoError` with a sentence about ``name`` for anything that is no usable photo. Slow (tens
    of milliseconds): keep it off an event loop.
    """
    if not content:
        raise PhotoError("{name} is empty (0 bytes). Please upload it again.", name=name)
    if len(content) > MAX_UPLOAD_BYTES:
        raise too_large(name)
    if _is_heic(content):
        raise PhotoError(
            "{name} is a HEIC picture, which cannot be read here. Save it as JPEG first; on an iPhone: "
            "Settings > Camera > Formats > Most Compatible, or share the photo by e-mail to yourself.",
            name=name,
        )
    picture = _upright_rgb(content, name)
    if min(picture.size) < MIN_SIDE_PX:
        raise PhotoError(
            "{name} is only {width} x {height} pixels. Please use one with at least {least} pixels on each side.",
            name=name,
            width=picture.width,
            height=picture.height,
            least=MIN_SIDE_PX,
        )
    picture.thumbnail((MAX_STORED_SIDE_PX, MAX_STORED_SIDE_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def too_large(name: str) -> PhotoError:
    """The error of an upload over the limit; who knows the size beforehand need not read it."""
    return PhotoError(
        "{name} is larger than {limit} MB. Please upload a smaller copy.", name=name, limit=MAX_UPLOAD_BYTES // 2**20
    )


def load_photo(content: bytes) -> Image.Image:
    """Open what :func:`normalise_photo` made."""
    return Image.open(io.BytesIO(content)).convert("RGB")


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


def _upright_rgb(content: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
        if picture.width * picture.height > _MAX_PIXELS:
            raise _too_many_pixels(name)
        picture.seek(0)
        picture.load()
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(name) from error
    except UnidentifiedImageError as error:
        raise PhotoError(
            "{name} is not a picture that can be read here. Please use a JPEG, PNG or WebP file.", name=name
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise PhotoError("{name} is damaged or cut off. Please upload it again.", name=name) from error
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I;16") or upright.mode in ("I", "F"):
        levels = np.asarray(upright, dtype=np.float64)
        top = 65535.0 if levels.max() > 255 else 255.0
        upright = Image.fromarray((levels.clip(0, top) / top * 255).round().astype(np.uint8))
    if upright.mode == "P" or "transparency" in upright.info or upright.mode in ("LA", "PA", "RGBA", "RGBa", "La"):
        layered = upright.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        upright = Image.alpha_composite(white, layered)
    plain = upright.convert("RGB")
    plain.info = {}
    return plain


def _too_many_pixels(name: str) -> PhotoError:
    return PhotoError(
        "{name} has too many pixels. Please upload a copy of at most {limit} megapixels.",
        name=name,
        limit=_MAX_PIXELS // 1_000_000,
    )


def _is_heic(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"avif")


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
