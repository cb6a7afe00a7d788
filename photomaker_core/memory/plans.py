"""Memory plans: where a model's parts lie and in which precision. The loader follows one; the operator may choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Offload = Literal["none", "model", "sequential"]
UnetWeights = Literal["plain", "int8", "float8"]


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """One way to fit a model into memory.

    ``offloads_encoders``: text encoders and the ID encoder's vision tower wait in CPU memory between uses;
    ``unet_weights``: kept in the model's precision; those of linear layers as int8 with a scale a row (torchao's, by
    the extra ``int8``); or all as float8, cast layer by layer. ``offload``: whole parts, or single layers, are on the
    device only while they run; ``tiled_vae``: pictures are decoded in tiles.
    """

    name: str
    offloads_encoders: bool = False
    unet_weights: UnetWeights = "plain"
    offload: Offload = "none"
    tiled_vae: bool = False


PLANS: Final = (
    MemoryPlan("full"),
    MemoryPlan("tiled", tiled_vae=True),
    MemoryPlan("encoder-offload", offloads_encoders=True, tiled_vae=True),
    MemoryPlan("int8", offloads_encoders=True, unet_weights="int8", tiled_vae=True),
    MemoryPlan("model-offload", offloads_encoders=True, offload="model", tiled_vae=True),
    MemoryPlan("fp8", offloads_encoders=True, unet_weights="float8", tiled_vae=True),
    MemoryPlan("sequential-offload", offloads_encoders=True, offload="sequential", tiled_vae=True),
)
"""From the fastest to the one that needs least. Only the plans ``int8`` and ``fp8`` change pictures, and
slightly."""

PLANS_BY_NAME: Final = {plan.name: plan for plan in PLANS}
