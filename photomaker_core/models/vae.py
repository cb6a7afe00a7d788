"""The VAE's two ways: pictures to latents, and latents to pictures in parts, between which a denoising step fits.

Called by the engine, by previews and by training.

Decoding a 1024 x 1024 picture takes as long as several steps. Cut by layers, and not by tiles, the parts give the
very picture that one call gives.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from photomaker_core.errors import DrawingError

log = logging.getLogger(__name__)

Decoding = Generator[None, None, Tensor]
"""Advanced by ``next``; its return value is the pixels."""


@torch.no_grad()
def decode_in_parts(vae: AutoencoderKL, latents: Tensor) -> Decoding:
    """Latents [B, C, h, w] as the UNet leaves them to pixels [B, 3, H, W] in 0..1, pausing after each part.

    A tiled or offloaded VAE is decoded in one part: its own code decides where its weights and tiles are. A VAE that
    overflows in half precision, or gives one colour, runs in float32 from then on. Raises :class:`DrawingError` for
    latents that are not finite, and where float32 overflows too.
    """
    if not latents.isfinite().all():
        raise broken_picture()
    pixels = yield from _decode(vae, latents)
    if _can_take_float32(vae) and not _has_contents(pixels):
        log.warning("the VAE overflows in %s; from now on it runs in float32", vae.dtype)
        vae.to(torch.float32)
        pixels = yield from _decode(vae, latents)
    if not pixels.isfinite().all():
        raise broken_picture()
    return (pixels.float() / 2 + 0.5).clamp(0, 1)


def broken_picture() -> DrawingError:
    """The error of numbers that are none."""
    return DrawingError(
        "This picture broke while it was drawn: its numbers grew out of bounds. "
        "Try another seed, a lower guidance, or draw without a LoRA."
    )


def fingerprint(vae: AutoencoderKL) -> str:
    """The same for an autoencoder and its copy in half precision, which bases are exported in."""
    digest = hashlib.sha256()
    for value in vae.state_dict().values():
        digest.update(value.half().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def decode_in_tiles(vae: AutoencoderKL) -> None:
    """From now on decode in overlapping tiles of half the trained side: less memory, seams blended away."""
    vae.enable_tiling()
    vae.tile_sample_min_size = vae.config.sample_size // 2
    vae.tile_latent_min_size = vae.tile_sample_min_size // 2 ** (len(vae.config.block_out_channels) - 1)


@torch.no_grad()
def encode_pixels(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Pixels [B, 3, H, W] in -1..1 on any device to the mean latents [B, C, h, w] in float32 on the VAE's device,
    scaled as the UNet takes them."""
    upcast_where_asked(vae)
    latents = _mean_latents(vae, pixels)
    if not latents.isfinite().all() and _can_take_float32(vae):
        vae.to(torch.float32)
        latents = _mean_latents(vae, pixels)
    mean, std = _statistics(vae, latents)
    scaled: Tensor = (latents - mean) * vae.config.scaling_factor / std
    return scaled


def upcast_where_asked(vae: Any) -> None:
    """Take a float16 VAE to float32 where its configuration says that float16 overflows in it."""
    if vae.dtype == torch.float16 and vae.config.force_upcast:
        vae.to(torch.float32)


def _mean_latents(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    mean: Tensor = vae.encode(pixels.to(vae.dtype), return_dict=False)[0].mode()
    return mean.float()


def _has_contents(pixels: Tensor) -> bool:
    """True for finite numbers of which, in each picture of a batch, some differ where they can be seen."""
    low, high = pixels.float().flatten(1).aminmax(dim=1)
    is_finite = low.isfinite() & high.isfinite()
    return bool((is_finite & (low.clamp(-1, 1) < high.clamp(-1, 1))).all())


def _can_take_float32(vae: Any) -> bool:
    """True where there are weights to convert: an offload of single layers keeps them out of reach."""
    return vae.dtype != torch.float32 and not any(one.is_meta for one in vae.parameters())


def _decode(vae: AutoencoderKL, latents: Tensor) -> Decoding:
    scaled = _unscaled(vae, latents)
    if vae.use_tiling or hasattr(vae, "_hf_hook"):
        yield
        pixels: Tensor = vae.decode(scaled, return_dict=False)[0]
        return pixels
    return (yield from _by_layers(vae, scaled))


def _unscaled(vae: Any, latents: Tensor) -> Tensor:
    upcast_where_asked(vae)
    latents = latents.to(vae.dtype)
    mean, std = _statistics(vae, latents)
    plain: Tensor = latents * std / vae.config.scaling_factor + mean
    return plain


def _statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and standard deviation of the latents' channels that the VAE's configuration states, else 0 and 1."""
    config = vae.config
    if config.latents_mean is None or config.latents_std is None:
        return like.new_zeros(()), like.new_ones(())
    mean, std = (
        torch.tensor(values, device=like.device, dtype=like.dtype).view(1, -1, 1, 1)
        for values in (config.latents_mean, config.latents_std)
    )
    return mean, std


def _by_layers(vae: AutoencoderKL, hidden: Tensor) -> Decoding:
    """diffusers' ``Decoder.forward`` for a decoder without latent conditioning, with pauses."""
    decoder: Any = vae.decoder
    if vae.post_quant_conv is not None:
        hidden = vae.post_quant_conv(hidden)
    hidden = decoder.mid_block(decoder.conv_in(hidden))
    yield
    for block in decoder.up_blocks:
        for part in [*block.resnets, *(block.upsamplers or ())] if _is_plain(block) else [block]:
            hidden = part(hidden, None) if part in block.resnets else part(hidden)
            yield
    pixels: Tensor = decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(hidden)))
    return pixels


def _is_plain(block: Any) -> bool:
    return type(block).__name__ == "UpDecoderBlock2D"
