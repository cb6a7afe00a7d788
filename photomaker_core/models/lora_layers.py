"""LoRA layers beside a network's own weights: which of them take part in its forward, and how strongly.

Called by the model for its UNet, and by the text encoders before they run.
"""

from __future__ import annotations

from diffusers.utils import set_adapter_layers, set_weights_and_activate_adapters
from torch import nn

LoraWeights = tuple[tuple[str, float], ...]
"""Names of loaded LoRAs, each with the weight it is added with."""


def loras_in(module: nn.Module, loras: LoraWeights) -> LoraWeights:
    """Those of ``loras`` that have layers in ``module``."""
    loaded = getattr(module, "peft_config", {})
    return tuple((name, weight) for name, weight in loras if name in loaded)


def activate_loras(module: nn.Module, loras: LoraWeights) -> None:
    """Make ``loras`` the only ones that ``module``'s forward adds; does nothing to a module without LoRA layers."""
    if not getattr(module, "peft_config", None):
        return
    active = loras_in(module, loras)
    if active:
        set_weights_and_activate_adapters(module, [name for name, _ in active], [weight for _, weight in active])
    set_adapter_layers(module, enabled=bool(active))
