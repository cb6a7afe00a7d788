"""Layouts of the UNet's weights in memory: choices that keep the picture and may be faster on a card.

Applied by the loader before the model is placed; which of them pays depends on the hardware (docs/benchmark.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from diffusers import UNet2DConditionModel


@dataclass(frozen=True, slots=True)
class UnetLayout:
    """``channels_last`` stores convolutions in the order that tensor cores read; ``fused_qkv`` joins the projections
    of each attention into one matrix, which needs LoRAs fused and takes memory for both forms."""

    channels_last: bool = False
    fused_qkv: bool = False

    def apply(self, unet: UNet2DConditionModel) -> None:
        if self.fused_qkv:
            unet.fuse_qkv_projections()
        if self.channels_last:
            unet.to(memory_format=torch.channels_last)


PLAIN_LAYOUT: Final = UnetLayout()
LAYOUTS: Final = {
    "as loaded": PLAIN_LAYOUT,
    "channels_last": UnetLayout(channels_last=True),
    "fused_qkv": UnetLayout(fused_qkv=True),
    "both": UnetLayout(channels_last=True, fused_qkv=True),
}
