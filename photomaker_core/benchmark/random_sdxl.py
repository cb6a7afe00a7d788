"""SDXL and PhotoMaker with random weights, for measurements where nothing can be downloaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionConfig

from photomaker_core.loading import sdxl_config as sdxl
from photomaker_core.loading.adapter import Adapter
from photomaker_core.loading.base_model import BaseModel, Hardware, best_hardware
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.plans import MemoryPlan
from photomaker_core.memory.unet_layout import PLAIN_LAYOUT, UnetLayout
from photomaker_core.models.id_encoder import IdEncoder, QFormerPerceiver
from photomaker_core.nano.shipped_weights import NANO_BASE

Version = Literal["v1", "v2"]
AnyModule = TypeVar("AnyModule", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Configurations of UNet, VAE, both text encoders and the ID encoder's vision tower."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: tuple[CLIPTextConfig, CLIPTextConfig]
    vision: CLIPVisionConfig


def full_size() -> ModelSize:
    """SDXL 1.0 with CLIP ViT-L/14."""
    return ModelSize(sdxl.UNET, sdxl.VAE, sdxl.text_configs(), sdxl.vision_config())


def tiny_size() -> ModelSize:
    """The same blocks at a hundredth of the size, for 128 x 128 pixels."""
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    unet = {
        "block_out_channels": (32, 32, 64),
        "cross_attention_dim": 128,
        "attention_head_dim": (1, 1, 2),
        "sample_size": 16,
        "projection_class_embeddings_input_dim": 6 * 256 + 64,
    }
    return ModelSize(
        sdxl.UNET | unet,
        sdxl.VAE | {"block_out_channels": (32, 32, 32, 32), "sample_size": 128},
        (CLIPTextConfig(**small), CLIPTextConfig(**small, projection_dim=64)),
        CLIPVisionConfig(**small, image_size=224, patch_size=56),
    )


class RandomSdxl:
    """Random weights, made once on the device and kept in CPU memory; models are made of them as a loader would.

    Speed and memory do not depend on what the weights are.
    """

    def __init__(self, version: Version, size: ModelSize | None = None, hardware: Hardware | None = None) -> None:
        self._version, self._size = version, size or full_size()
        self.hardware = hardware or best_hardware()
        first, second = self._size.text
        self._tokenizers = [CLIPTokenizer.from_pretrained(NANO_BASE / name) for name in ("tokenizer", "tokenizer_2")]
        for config, tokenizer in zip((first, second), self._tokenizers, strict=True):
            config.eos_token_id, config.bos_token_id = tokenizer.eos_token_id, tokenizer.bos_token_id
            config.pad_token_id = tokenizer.pad_token_id
        vision, width = self._size.vision, first.hidden_size + second.hidden_size
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.hardware.dtype)
        try:
            with self.hardware.device:
                self._vae = AutoencoderKL.from_config(self._size.vae)
                self._encoders = (CLIPTextModel(first), CLIPTextModelWithProjection(second))
                self._unet = UNet2DConditionModel.from_config(self._size.unet)
                perceiver = (
                    QFormerPerceiver(width, vision.hidden_size, width, token_count=2, depth=4, heads=16)
                    if version == "v2"
                    else None
                )
                self._id_encoder = IdEncoder(vision, (first.hidden_size, second.hidden_size), perceiver)
        finally:
            torch.set_default_dtype(before)
        for module in (self._unet, self._vae, *self._encoders, self._id_encoder):
            module.requires_grad_(False).eval().to("cpu")

    def photomaker(
        self, plan: MemoryPlan | None = None, layout: UnetLayout = PLAIN_LAYOUT, dtype: torch.dtype | None = None
    ) -> PhotoMaker:
        """Make a model in ``dtype``, else in the one that the weights were made in, and place it by ``plan``."""
        hardware = Hardware(self.hardware.device, dtype or self.hardware.dtype)
        vae, unet, first, second = (
            _on_the_same_weights(module).to(hardware.dtype) for module in (self._vae, self._unet, *self._encoders)
        )
        id_encoder = _on_the_same_weights(self._id_encoder).to(hardware.dtype)
        pipeline = StableDiffusionXLPipeline(
            vae=vae,
            text_encoder=first,
            text_encoder_2=second,
            tokenizer=copy.deepcopy(self._tokenizers[0]),
            tokenizer_2=copy.deepcopy(self._tokenizers[1]),
            unet=unet,
            scheduler=EulerDiscreteScheduler(**sdxl.SCHEDULER),
            force_zeros_for_empty_prompt=True,
            add_watermarker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        base = BaseModel(pipeline, Hardware(torch.device("cpu"), hardware.dtype))
        faces = _NoFaces() if self._version == "v2" else None
        model = PhotoMaker(base, Adapter(id_encoder, {}, "random"), face_embedder=faces)
        model.place(hardware, plan, layout)
        return model


class _NoFaces:
    """The same embedding for every photo; for measurements it does not matter whose."""

    fingerprint = "none"

    def embed(self, photo: Image.Image) -> Tensor:
        return torch.ones(512)


def _on_the_same_weights(module: AnyModule) -> AnyModule:
    """A copy of a module whose parameters share their memory with the original's until they are moved."""
    shared = {id(one): nn.Parameter(one.data, requires_grad=False) for one in module.parameters()}
    return copy.deepcopy(module, shared)
