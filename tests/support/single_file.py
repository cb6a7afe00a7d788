"""Writes a pipeline as the one .safetensors file in which SDXL checkpoints are traded."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from photomaker_core.loading.original_names import original_unet_name

Weights = dict[str, torch.Tensor]

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
    config = pipeline.unet.config
    return {original_unet_name(config, name): value for name, value in pipeline.unet.state_dict().items()}


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
