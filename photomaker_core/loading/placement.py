"""Puts a loaded model where a memory plan says. Called by the loader, once."""

from __future__ import annotations

from dataclasses import replace

import torch

from photomaker_core.errors import ModelError
from photomaker_core.loading.base_model import BaseModel, Hardware
from photomaker_core.memory.cpu_offload import CpuOffload
from photomaker_core.memory.footprint import Footprint, footprint, weight_bytes
from photomaker_core.memory.plans import MemoryPlan
from photomaker_core.memory.quantization import quantize_to_int8
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.vae import decode_in_tiles


def footprint_of(base: BaseModel, id_encoder: IdEncoder, dtype: torch.dtype) -> Footprint:
    """What a loaded model needs for square pictures of the size it was trained at, with weights in ``dtype``."""
    unet_bytes = weight_bytes(base.unet)
    plain = footprint(
        dict(base.unet.config),
        dict(base.vae.config),
        weight_bytes(*base.text.encoders, id_encoder),
        dtype,
        base.side_px,
        base.side_px,
    )
    return replace(plain, unet=max(unet_bytes, plain.unet))


def place(base: BaseModel, id_encoder: IdEncoder, plan: MemoryPlan, hardware: Hardware) -> CpuOffload | None:
    """Move the parts of a model that was loaded on the CPU; returns where the ID encoder's vision part is offloaded.

    A plan with float8 weights needs the UNet's LoRAs fused. Raises :class:`ModelError` where ``plan`` offloads and
    there is nothing to offload from, and where torchao is not installed for int8 weights.
    """
    device = hardware.device
    if plan.offload != "none" and device.type == "cpu":
        raise ModelError(f"The memory plan {plan.name} moves parts between CPU and GPU; there is no GPU here.")
    base.hardware = hardware
    if plan.unet_weights == "int8":
        quantize_to_int8(base.unet)
    elif plan.unet_weights == "float8":
        base.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=hardware.dtype)
    if plan.offload == "model":
        base.pipeline.enable_model_cpu_offload(device=device)
    elif plan.offload == "sequential":
        base.pipeline.enable_sequential_cpu_offload(device=device)
    else:
        base.unet.to(device)
        base.vae.to(device)
        if plan.offloads_encoders:
            base.text = replace(base.text, offload=CpuOffload(device))
        else:
            for encoder in base.text.encoders:
                encoder.to(device)
    if plan.tiled_vae:
        decode_in_tiles(base.vae)
    if not plan.offloads_encoders:
        id_encoder.to(device)
        return None
    id_encoder.fuse_module.to(device)
    return CpuOffload(device)
