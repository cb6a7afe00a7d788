"""The modules of a base that LoRA layers can change, by the names that LoRA files have for them.

Called by the reader of LoRA files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from diffusers import UNet2DConditionModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from photomaker_core.loading.original_names import original_unet_name

_UNET: Final = "lora_unet_"
_ENCODERS: Final = (("lora_te1_", "text_encoder"), ("lora_te2_", "text_encoder_2"))
_TEXT_MODEL: Final = "text_model."


@dataclass(frozen=True, slots=True, eq=False)
class LoraTarget:
    """A linear layer or a convolution: its ``path``, part first, as diffusers names LoRA layers, and its weight."""

    path: str
    weight: Tensor


class LoraTargets:
    """All targets of a UNet and its text encoders by kohya's names, with the UNet's in diffusers' and in the original
    spelling."""

    def __init__(self, unet: UNet2DConditionModel, encoders: Sequence[PreTrainedModel]) -> None:
        self._targets: dict[str, LoraTarget] = {}
        for name, module in _layers(unet):
            target = LoraTarget(f"unet.{name}", module.weight)
            for spelt in (name, original_unet_name(unet.config, name)):
                self._targets[f"{_UNET}{spelt.replace('.', '_')}"] = target
        for (prefix, part), encoder in zip(_ENCODERS, encoders, strict=True):
            for name, module in _layers(encoder):
                plain = name.removeprefix(_TEXT_MODEL)
                target = LoraTarget(f"{part}.{name}", module.weight)
                for spelt in (plain, f"{_TEXT_MODEL}{plain}"):
                    self._targets[f"{prefix}{spelt.replace('.', '_')}"] = target

    def find(self, name: str) -> LoraTarget | None:
        """The target of a layer called ``name`` in kohya's way, such as ``lora_unet_mid_block_resnets_0_conv1``."""
        return self._targets.get(name)


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """The network's own linear layers and convolutions, also where LoRA layers lie around them."""
    inside: tuple[str, ...] = ()
    for name, module in network.named_modules():
        if name.startswith(inside) and inside:
            continue
        if isinstance(module, BaseTunerLayer):
            inside = (*inside, f"{name}.")
            own = module.get_base_layer()
        else:
            own = module
        if isinstance(own, nn.Linear | nn.Conv2d):
            yield name, own
