"""The optimiser of a training run: AdamW or its 8-bit form, loss scaling in fp16, clipping, and steps left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import torch
from torch import Tensor, nn

from photomaker_core.errors import UserError

OPTIMIZERS: Final = ("adamw", "adamw8bit")
_BETAS: Final = (0.9, 0.99)


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a learning rate."""

    parameters: Sequence[nn.Parameter]
    learning_rate: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Steps that were left out: ``faults`` had a loss or gradients that are not finite, for which no scale is to
    blame; ``overflows`` had a loss scale too large for float16, which has been halved since."""

    faults: int
    overflows: int


def check_optimizer(name: str) -> None:
    """Raise :class:`UserError` for an optimiser that cannot run here."""
    if name != "adamw8bit":
        return
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "loop.optimizer: adamw8bit needs bitsandbytes. Install it with: pip install 'photomaker-bot[adam8bit]'"
        )
    if not torch.cuda.is_available():
        raise UserError("loop.optimizer: adamw8bit needs a CUDA device; leave the key out to train with AdamW.")


class Optimization:
    """Takes the steps on ``groups``. A step whose gradients are not finite changes no weight and is counted.

    With ``scales_loss`` losses are multiplied so that gradients fit into float16 (Micikevicius et al. 2018).
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        device: torch.device,
        *,
        name: str,
        weight_decay: float,
        max_gradient_norm: float,
        scales_loss: bool,
    ) -> None:
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self.name = name
        self._groups, self._max_gradient_norm = groups, max_gradient_norm
        settings = [{"params": list(group.parameters), "lr": group.learning_rate} for group in groups]
        self._optimizer: Any
        if name == "adamw8bit":
            from bitsandbytes.optim import AdamW8bit

            self._optimizer = AdamW8bit(settings, betas=_BETAS, weight_decay=weight_decay)
        else:
            self._optimizer = torch.optim.AdamW(settings, betas=_BETAS, weight_decay=weight_decay, fused=True)
        self._scaler = torch.amp.GradScaler(device.type, enabled=scales_loss)
        self._one = torch.ones((), device=device)
        self._faults, self._overflows = torch.zeros_like(self._one), torch.zeros_like(self._one)

    @property
    def learning_rate(self) -> float:
        """That of the last group."""
        return float(self._optimizer.param_groups[-1]["lr"])

    @property
    def loss_scale(self) -> Tensor:
        """What losses are multiplied by; 1 but in fp16."""
        scale: Tensor = self._scaler.scale(self._one)
        return scale

    def slow_down(self, factor: float) -> None:
        """Set each group's learning rate to ``factor`` of its own."""
        for settled, group in zip(self._optimizer.param_groups, self._groups, strict=True):
            settled["lr"] = group.learning_rate * factor

    def step(self, loss: Tensor) -> Tensor:
        """Take a step by the gradients of the scaled ``loss``; the norm that they had before they were clipped."""
        scale = self.loss_scale
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self._max_gradient_norm)
        is_bad = ~torch.isfinite(norm)
        is_overflow = is_bad & torch.isfinite(loss) & (scale > 1)
        self._overflows += is_overflow
        self._faults += is_bad & ~is_overflow
        if self.name == "adamw8bit":
            if not is_bad:
                self._optimizer.step()
        else:
            # What torch's own gradient scaler sets: the fused optimiser then leaves everything as it is, and nobody
            # waits for the device.
            self._optimizer.found_inf = is_bad.float()
            self._optimizer.step()
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        return norm

    def left_out(self) -> LeftOut:
        """The steps left out since the last call."""
        counts = LeftOut(int(self._faults), int(self._overflows))
        self._faults.zero_()
        self._overflows.zero_()
        return counts

    def state_dict(self) -> dict[str, Any]:
        left_out = [float(self._faults), float(self._overflows)]
        return {"optimizer": self._optimizer.state_dict(), "scaler": self._scaler.state_dict(), "left_out": left_out}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state["optimizer"])
        if state.get("scaler"):
            self._scaler.load_state_dict(state["scaler"])
        faults, overflows = state.get("left_out", (0.0, 0.0))
        self._faults.fill_(faults)
        self._overflows.fill_(overflows)
