"""The nano model's parts, untrained: SDXL's classes at a size that a CPU can train and run."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
)

TEXT_WIDTH = 128
VISION_WIDTH = 192


def new_vae(seed: int) -> AutoencoderKL:
    """An autoencoder that starts as a blur, ``decode(encode(x)) ~ x`` at a quarter of the resolution.

    Its group norms would otherwise need thousands of steps to find absolute colours again. See
    :func:`_start_as_blur`.
    """
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=6,
        sample_size=128,
        force_upcast=False,
    )
    _start_as_blur(vae)
    return vae


@torch.no_grad()
def _start_as_blur(vae: AutoencoderKL) -> None:
    """Carry each colour c through the network as four channels (c, -c, k, -k).

    The constants k keep a norm group's scale fixed, the signs keep its mean at zero, and
    ``silu(c) - silu(-c) = c`` undoes the activation. Residual branches start small.
    """
    carriers, constant = 12, 1.5
    colours = [(4 * colour, 4 * colour + 1) for colour in range(3)]
    blur = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16

    def pass_through(conv: nn.Conv2d, colour_kernel: torch.Tensor | None = None) -> None:
        conv.weight[:carriers] = 0
        _bias(conv)[:carriers] = 0
        centre = conv.kernel_size[0] // 2
        for channel in range(carriers):
            if colour_kernel is not None and (channel % 4 < 2 or conv.stride[0] == 2):
                conv.weight[channel, channel] = colour_kernel
            else:
                conv.weight[channel, channel, centre, centre] = 1

    def enter(conv: nn.Conv2d) -> None:
        conv.weight[:carriers] = 0
        _bias(conv)[:carriers] = torch.tensor([0, 0, constant, -constant] * 3)
        for colour, (plus, minus) in enumerate(colours):
            conv.weight[plus, colour, 1, 1] = 1
            conv.weight[minus, colour, 1, 1] = -1

    def leave(conv: nn.Conv2d) -> None:
        conv.weight.mul_(0.1)
        _bias(conv).zero_()
        for colour, (plus, minus) in enumerate(colours):
            conv.weight[colour, plus, 1, 1] += 1
            conv.weight[colour, minus, 1, 1] -= 1

    average = torch.zeros(3, 3)
    average[:2, :2] = 0.25
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.mul_(0.1)
            if module.conv_shortcut is not None:
                pass_through(module.conv_shortcut)
        elif isinstance(module, Attention):
            module.to_out[0].weight.mul_(0.1)
        elif isinstance(module, Downsample2D):
            pass_through(module.conv, average)
        elif isinstance(module, Upsample2D):
            pass_through(module.conv, blur)
    for coder in (vae.encoder, vae.decoder):
        enter(coder.conv_in)
        leave(coder.conv_out)
    latent_channels = vae.config.latent_channels
    vae.quant_conv.weight.zero_()
    vae.quant_conv.bias.zero_()
    vae.quant_conv.bias[latent_channels:] = -8
    for channel in range(latent_channels):
        vae.quant_conv.weight[channel, channel] = 1
        vae.post_quant_conv.weight[channel] = 0
        vae.post_quant_conv.weight[channel, channel] = 1
    vae.post_quant_conv.bias.zero_()


def _bias(conv: nn.Conv2d) -> torch.Tensor:
    assert conv.bias is not None
    return conv.bias


def new_unet(seed: int) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        block_out_channels=(72, 128, 192),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * TEXT_WIDTH,
        attention_head_dim=(2, 4, 6),
        transformer_layers_per_block=(1, 1, 1),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * 16,
        norm_num_groups=8,
    )


def new_text_encoders(
    vocabulary_size: int, pad_token_ids: tuple[int, int], seed: int
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """SDXL's two text encoders; the last two words of the vocabulary are its start and end tokens."""
    torch.manual_seed(seed)
    first, second = (
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            **_transformer(TEXT_WIDTH, layers=3),
            max_position_embeddings=77,
            hidden_act=activation,
            bos_token_id=vocabulary_size - 2,
            eos_token_id=vocabulary_size - 1,
            pad_token_id=pad_token_id,
        )
        for activation, pad_token_id in zip(("quick_gelu", "gelu"), pad_token_ids, strict=True)
    )
    return CLIPTextModel(first), CLIPTextModelWithProjection(second)


def _transformer(width: int, layers: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "projection_dim": TEXT_WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
    }


def new_vision_tower(seed: int) -> CLIPVisionModel:
    torch.manual_seed(seed)
    return CLIPVisionModel(
        CLIPVisionConfig(
            **_transformer(VISION_WIDTH, layers=4),
            image_size=224,
            patch_size=28,
            hidden_act="quick_gelu",
        )
    )
