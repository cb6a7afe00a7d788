"""Placing a loaded model where a memory plan says. Called by the loader, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import torch
from accelerate import cpu_offload

from photomaker_core.errors import ModelError
from photomaker_core.loading.base_model import BaseModel, Hardware
from photomaker_core.memory.cpu_offload import CpuOffload, CpuWeights, offload_in_turns
from photomaker_core.memory.footprint import Footprint, footprint, weight_bytes
from photomaker_core.memory.plans import MemoryPlan
from photomaker_core.memory.quantization import has_float8, quantize_to_int8
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.vae import decode_in_tiles, upcast_where_asked


def footprint_of(
    base: BaseModel, id_encoder: IdEncoder, dtype: torch.dtype, max_chunks: int
) -> Callable[[], Footprint]:
    """Return what computes, once, what a model needs that is not placed yet: for square pictures of its training size,
    with weights in ``dtype`` and prompts of up to ``max_chunks`` chunks.

    The computation takes as long as loading a small model, and not every caller asks for its result.
    """
    unet_bytes, encoders_bytes = weight_bytes(base.unet), weight_bytes(*base.text.encoders, id_encoder)
    unet_config, vae_config, side_px = dict(base.unet.config), dict(base.vae.config), base.side_px

    @cache
    def compute() -> Footprint:
        plain = footprint(unet_config, vae_config, encoders_bytes, dtype, side_px, side_px, max_chunks)
        return replace(plain, unet=max(unet_bytes, plain.unet))

    return compute


def place(base: BaseModel, id_encoder: IdEncoder, plan: MemoryPlan, hardware: Hardware) -> CpuOffload | None:
    """Move the parts of a model that was loaded on the CPU; returns where the ID encoder's vision part is offloaded.

    A plan with float8 weights needs the UNet's LoRAs fused. Raises :class:`ModelError` where ``plan`` offloads and
    there is nothing to offload from, where the device has no float8, and where torchao is not installed for int8
    weights.
    """
    device = hardware.device
    if plan.offload != "none" and device.type == "cpu":
        raise ModelError(f"The memory plan {plan.name} moves parts between CPU and GPU; there is no GPU here.")
    if plan.unet_weights == "float8" and not has_float8(device):
        raise ModelError(f"The memory plan {plan.name} needs float8 numbers, which {device.type} does not have.")
    base.hardware = hardware
    if plan.unet_weights == "int8":
        quantize_to_int8(base.unet, device)
    elif plan.unet_weights == "float8":
        base.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=hardware.dtype)
    upcast_where_asked(base.vae)
    if plan.tiled_vae:
        decode_in_tiles(base.vae)
    evicted: Sequence[CpuWeights] = ()
    if plan.offload != "none":
        evicted = offload(base, plan, torch.device(device.type, device.index or 0))
    else:
        base.unet.to(device)
        base.vae.to(device)
        if plan.offloads_encoders:
            base.text = replace(base.text, offload=CpuOffload(device))
        else:
            for encoder in base.text.encoders:
                encoder.to(device)
    if not plan.offloads_encoders:
        id_encoder.to(device)
        return None
    id_encoder.fuse_module.to(device)
    return CpuOffload(device, evicted)


def offload(base: BaseModel, plan: MemoryPlan, device: torch.device) -> Sequence[CpuWeights]:
    """Leave the base in CPU memory; its parts, or single layers of them, come to ``device`` while they run.

    Returns the weights of parts that stay on the device until another is called.
    """
    base.text = replace(base.text, works_on=device)
    parts = (*base.text.encoders, base.unet, base.vae)
    if plan.offload == "model":
        return offload_in_turns(parts, device)
    for part in parts:
        cpu_offload(part, device)
    return ()
