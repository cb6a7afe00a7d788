"""SDXL and PhotoMaker of full size with random weights, for timings where nothing can be downloaded."""

from __future__ import annotations

from typing import Literal

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from photomaker_core.loading import sdxl_config as sdxl
from photomaker_core.loading.adapter import Adapter
from photomaker_core.loading.base_model import BaseModel, Hardware, best_hardware
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.plans import MemoryPlan
from photomaker_core.memory.unet_layout import PLAIN_LAYOUT, UnetLayout
from photomaker_core.models.id_encoder import IdEncoder, QFormerPerceiver
from photomaker_core.nano.weight_files import NANO_BASE


class _NoFaces:
    """The same embedding for every photo; for timings it does not matter whose."""

    fingerprint = "none"

    def embed(self, photo: Image.Image) -> Tensor:
        return torch.ones(512)


def random_photomaker(
    version: Literal["v1", "v2"], plan: MemoryPlan | None = None, layout: UnetLayout = PLAIN_LAYOUT
) -> PhotoMaker:
    """Built where it runs, in the precision it runs in; speed does not depend on what the weights are."""
    hardware = best_hardware()
    tokenizers = [CLIPTokenizer.from_pretrained(NANO_BASE / name) for name in ("tokenizer", "tokenizer_2")]
    first, second = sdxl.text_configs()
    for config, tokenizer in zip((first, second), tokenizers, strict=True):
        config.eos_token_id, config.bos_token_id = tokenizer.eos_token_id, tokenizer.bos_token_id
        config.pad_token_id = tokenizer.pad_token_id
    before = torch.get_default_dtype()
    torch.set_default_dtype(hardware.dtype)
    try:
        with hardware.device:
            pipeline = StableDiffusionXLPipeline(
                vae=AutoencoderKL.from_config(sdxl.VAE),
                text_encoder=CLIPTextModel(first),
                text_encoder_2=CLIPTextModelWithProjection(second),
                tokenizer=tokenizers[0],
                tokenizer_2=tokenizers[1],
                unet=UNet2DConditionModel.from_config(sdxl.UNET),
                scheduler=EulerDiscreteScheduler(**sdxl.SCHEDULER),
                force_zeros_for_empty_prompt=True,
                add_watermarker=False,
            )
            vision, width = sdxl.vision_config(), first.hidden_size + second.hidden_size
            perceiver = QFormerPerceiver(width, vision.hidden_size, width, token_count=2, depth=4, heads=16)
            encoder = IdEncoder(vision, (first.hidden_size, second.hidden_size), perceiver if version == "v2" else None)
    finally:
        torch.set_default_dtype(before)
    for module in (pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2, encoder):
        module.requires_grad_(False).eval()
    base = BaseModel(pipeline, Hardware(hardware.device, hardware.dtype))
    model = PhotoMaker(base, Adapter(encoder, {}, "random"), face_embedder=_NoFaces() if version == "v2" else None)
    model.place(hardware, plan, layout)
    return model
