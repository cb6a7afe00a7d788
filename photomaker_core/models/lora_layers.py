"""LoRA layers beside a network's own weights: which of them take part in its forward, and how strongly.

Called by the model for its UNet, and by the text encoders before they run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from diffusers.utils import set_adapter_layers, set_weights_and_activate_adapters
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

LoraWeights = tuple[tuple[str, float], ...]
"""Names of loaded LoRAs, each with the weight it is added with."""

_GAINS: Final = "_row_gains"


class _RowGains:
    """A hook of a module without LoRA layers: its output, its bias apart, grows by the active LoRAs' gains [O]."""

    def __init__(self, bias: Tensor | None) -> None:
        # Offloading takes a module's own bias away between its forwards.
        self._bias = None if bias is None else bias.detach()
        self.by_lora: dict[str, Tensor] = {}
        self.active: LoraWeights = ()

    def __call__(self, _module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not self.active:
            return None
        shape = (1, -1, *([1] * (output.ndim - 2))) if output.ndim == 4 else (-1,)
        gains = [weight * self._at(output, name) for name, weight in self.active]
        gain = sum(gains[1:], gains[0]).view(shape)
        if self._bias is None:
            return output + gain * output
        self._bias = self._bias.to(output)
        return output + gain * (output - self._bias.view(shape))

    def _at(self, output: Tensor, name: str) -> Tensor:
        self.by_lora[name] = self.by_lora[name].to(output)
        return self.by_lora[name]


def add_row_gains(network: nn.Module, lora: str, gains: Mapping[str, Tensor]) -> None:
    """Let ``lora`` also multiply the rows of some modules, by their names; its layers must be in them already.

    With its weight w a module's own weight W counts as ``(1 + w gain) W``.
    """
    hooks: dict[str, _RowGains] = network.__dict__.setdefault(_GAINS, {})
    for name, gain in gains.items():
        if name not in hooks:
            module = network.get_submodule(name)
            base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
            hooks[name] = _RowGains(base.bias if isinstance(base.bias, Tensor) else None)
            base.register_forward_hook(hooks[name])
        hooks[name].by_lora[lora] = gain


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
    hooks: dict[str, _RowGains] = module.__dict__.get(_GAINS, {})
    for hook in hooks.values():
        hook.active = tuple((name, weight) for name, weight in active if name in hook.by_lora)
