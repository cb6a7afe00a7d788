"""The names that Stability's own code gives the modules of SDXL's UNet. Called by the reader of LoRA files."""

from __future__ import annotations

from typing import Any, Final

_RESNET: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS: Final = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def original_unet_name(config: Any, name: str) -> str:
    """What Stability's own code calls the module that diffusers calls ``name``, in a UNet of this ``config``."""
    for place, other in _places(config).items():
        if name == place:
            return other
        if name.startswith(f"{place}."):
            part, dot, rest = name.removeprefix(f"{place}.").partition(".")
            return f"{other}.{_RESNET.get(part, part)}{dot}{rest}"
    return name


def _places(config: Any) -> dict[str, str]:
    layers, blocks = config.layers_per_block, len(config.block_out_channels)
    places = dict(_ENDS)
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
