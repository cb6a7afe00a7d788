"""SDXL's shape: the configurations of Stable Diffusion XL 1.0 and of PhotoMaker's CLIP ViT-L/14.

For memory plans of a base whose own configuration is not at hand, and for benchmarks with random weights.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig

from photomaker_core.memory.footprint import Footprint, footprint
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.presets.prompt_length import DEFAULT_MAX_CHUNKS

SIDE_PX: Final = 1024

UNET: Final[dict[str, Any]] = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE: Final[dict[str, Any]] = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}
SCHEDULER: Final[dict[str, Any]] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


def text_configs() -> tuple[CLIPTextConfig, CLIPTextConfig]:
    """CLIP ViT-L/14's and OpenCLIP ViT-bigG/14's text encoders."""
    return _text_config(768, 12, 12, "quick_gelu"), _text_config(1280, 32, 20, "gelu")


def _text_config(width: int, layers: int, heads: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=width,
        hidden_act=activation,
    )


def vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        patch_size=14,
        image_size=224,
        projection_dim=768,
    )


def photomaker_footprint(dtype: torch.dtype, side_px: int = SIDE_PX, max_chunks: int = DEFAULT_MAX_CHUNKS) -> Footprint:
    """The memory that SDXL with PhotoMaker V1 needs at ``side_px`` squared, LoRA fused."""
    first, second = text_configs()
    with torch.device("meta"):
        encoders = (
            CLIPTextModel(first),
            CLIPTextModelWithProjection(second),
            IdEncoder(vision_config(), (first.hidden_size, second.hidden_size)),
        )
    numbers = sum(parameter.numel() for part in encoders for parameter in part.parameters())
    return footprint(UNET, VAE, numbers * dtype.itemsize, dtype, side_px, side_px, max_chunks)
