"""Writes a pipeline as the one .safetensors file in which SDXL checkpoints are traded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

Weights = dict[str, torch.Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "encoder.layers": "transformer.resblocks",
    "layer_norm": "ln_",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def uneven_pipeline(folder: Path) -> StableDiffusionXLPipeline:
    """The tiny model in ``folder`` with text encoders 128 and 160 wide: loaders tell SDXL's two by their width."""
    torch.manual_seed(0)
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    text = CLIPTextConfig.from_dict(
        {**pipeline.text_encoder_2.config.to_dict(), "hidden_size": 160, "projection_dim": 160}
    )
    pipeline.text_encoder_2 = CLIPTextModelWithProjection(text)
    widths = {"cross_attention_dim": 128 + 160, "projection_class_embeddings_input_dim": 176 + 160 - 128}
    pipeline.unet = UNet2DConditionModel.from_config({**pipeline.unet.config, **widths})
    return pipeline


def write_single_file(pipeline: StableDiffusionXLPipeline, path: Path) -> Path:
    first = {
        f"conditioner.embedders.0.transformer.text_model.{name.removeprefix('text_model.')}": value
        for name, value in pipeline.text_encoder.state_dict().items()
    }
    unet = {f"model.diffusion_model.{name}": value for name, value in _unet(pipeline).items()}
    vae = {f"first_stage_model.{name}": value for name, value in _vae(pipeline).items()}
    second = {f"conditioner.embedders.1.model.{name}": value for name, value in _open_clip(pipeline).items()}
    save_file({name: value.contiguous() for name, value in {**first, **unet, **vae, **second}.items()}, path)
    return path


def _unet(pipeline: StableDiffusionXLPipeline) -> Weights:
    places = _unet_places(pipeline.unet.config)
    return {_moved(name, places, _RESNET): value for name, value in pipeline.unet.state_dict().items()}


def original_unet_name(config: Any, name: str) -> str:
    """What Stability's own code calls a module of the UNet."""
    return _moved(f"{name}.", _unet_places(config), _RESNET).removesuffix(".")


def _unet_places(config: Any) -> dict[str, str]:
    layers, blocks = config.layers_per_block, len(config.block_out_channels)
    places = dict(_UNET_ENDS)
    number = 1
    for block in range(blocks):
        for layer in range(layers):
            places[f"down_blocks.{block}.resnets.{layer}"] = f"input_blocks.{number}.0"
            places[f"down_blocks.{block}.attentions.{layer}"] = f"input_blocks.{number}.1"
            number += 1
        places[f"down_blocks.{block}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
        number += 1
    places |= {
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    number = 0
    for block, kind in enumerate(config.up_block_types):
        for layer in range(layers + 1):
            places[f"up_blocks.{block}.resnets.{layer}"] = f"output_blocks.{number}.0"
            places[f"up_blocks.{block}.attentions.{layer}"] = f"output_blocks.{number}.1"
            number += 1
        after = 2 if kind.startswith("CrossAttn") else 1
        places[f"up_blocks.{block}.upsamplers.0.conv"] = f"output_blocks.{number - 1}.{after}.conv"
    return places


def _vae(pipeline: StableDiffusionXLPipeline) -> Weights:
    config = pipeline.vae.config
    blocks = len(config.block_out_channels)
    places = {"encoder.conv_norm_out": "encoder.norm_out", "decoder.conv_norm_out": "decoder.norm_out"}
    for coder in ("encoder", "decoder"):
        places |= {
            f"{coder}.mid_block.resnets.0": f"{coder}.mid.block_1",
            f"{coder}.mid_block.resnets.1": f"{coder}.mid.block_2",
            f"{coder}.mid_block.attentions.0": f"{coder}.mid.attn_1",
        }
    for block in range(blocks):
        for layer in range(config.layers_per_block + 1):
            places[f"encoder.down_blocks.{block}.resnets.{layer}"] = f"encoder.down.{block}.block.{layer}"
            places[f"decoder.up_blocks.{block}.resnets.{layer}"] = f"decoder.up.{blocks - 1 - block}.block.{layer}"
        places[f"encoder.down_blocks.{block}.downsamplers.0.conv"] = f"encoder.down.{block}.downsample.conv"
        places[f"decoder.up_blocks.{block}.upsamplers.0.conv"] = f"decoder.up.{blocks - 1 - block}.upsample.conv"
    found = {}
    for name, value in pipeline.vae.state_dict().items():
        moved = _moved(name, places, {"conv_shortcut": "nin_shortcut"} | _VAE_ATTENTION)
        is_projection = ".attn_1." in moved and moved.endswith("weight") and value.ndim == 2
        found[moved] = value[:, :, None, None] if is_projection else value
    return found


def _open_clip(pipeline: StableDiffusionXLPipeline) -> Weights:
    source = {name.removeprefix("text_model."): value for name, value in pipeline.text_encoder_2.state_dict().items()}
    found = {
        "positional_embedding": source.pop("embeddings.position_embedding.weight"),
        "token_embedding.weight": source.pop("embeddings.token_embedding.weight"),
        "ln_final.weight": source.pop("final_layer_norm.weight"),
        "ln_final.bias": source.pop("final_layer_norm.bias"),
        "text_projection": source.pop("text_projection.weight").T,
    }
    for name in list(source):
        if ".q_proj." in name:
            together = torch.cat([source.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"])
            block, _, kind = name.partition(".self_attn.q_proj.")
            source[f"{block}.attn.in_proj_{kind}"] = together
    for name, value in source.items():
        renamed = name.replace(".self_attn.out_proj", ".attn.out_proj")
        for theirs, ours in _OPEN_CLIP.items():
            renamed = renamed.replace(theirs, ours)
        found[renamed] = value
    return found


def _moved(name: str, places: dict[str, str], parts: dict[str, str]) -> str:
    for place, other in places.items():
        if name.startswith(f"{place}."):
            rest = name.removeprefix(f"{place}.")
            for part, renamed in parts.items():
                if rest.startswith(f"{part}."):
                    rest = rest.replace(part, renamed, 1)
                    break
            return f"{other}.{rest}"
    return name
