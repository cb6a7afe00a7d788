"""VAE decoding in parts, so that a denoising step fits between any two of them. Called by the engine.

Decoding a 1024 x 1024 picture takes as long as several steps. Cut by layers, and not by tiles, the parts give the
very picture that one call gives.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

Decoding = Generator[None, None, Tensor]
"""Advanced by ``next``; its return value is the pixels."""


@torch.no_grad()
def decode_in_parts(vae: AutoencoderKL, latents: Tensor) -> Decoding:
    """Latents [B, C, h, w] as the UNet leaves them to pixels [B, 3, H, W] in 0..1, pausing after each part.

    A tiled or offloaded VAE is decoded in one part: its own code decides where its weights and tiles are.
    """
    scaled = _unscaled(vae, latents)
    if vae.use_tiling or hasattr(vae, "_hf_hook"):
        yield
        pixels: Tensor = vae.decode(scaled, return_dict=False)[0]
    else:
        pixels = yield from _by_layers(vae, scaled)
    return (pixels.float() / 2 + 0.5).clamp(0, 1)


def decode_in_tiles(vae: AutoencoderKL) -> None:
    """From now on decode in overlapping tiles of half the trained side: less memory, seams blended away."""
    vae.enable_tiling()
    vae.tile_sample_min_size = vae.config.sample_size // 2
    vae.tile_latent_min_size = vae.tile_sample_min_size // 2 ** (len(vae.config.block_out_channels) - 1)


def _unscaled(vae: Any, latents: Tensor) -> Tensor:
    config = vae.config
    if vae.dtype == torch.float16 and config.force_upcast:
        vae.to(torch.float32)
    latents = latents.to(vae.dtype)
    if config.latents_mean is None or config.latents_std is None:
        plain: Tensor = latents / config.scaling_factor
        return plain
    mean, std = (
        torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1)
        for values in (config.latents_mean, config.latents_std)
    )
    centred: Tensor = latents * std / config.scaling_factor + mean
    return centred


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
