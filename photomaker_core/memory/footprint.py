"""The memory that a model needs, and the choice of the memory plan that fits what is free.

What a part needs is computed, on torch's meta device, from its configuration, not read from a table of cards.
Called by the loader, by ``photomaker-bot doctor`` and by the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import psutil
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from photomaker_core.memory.live_bytes import live_bytes, stored_tensors
from photomaker_core.memory.plans import PLANS, MemoryPlan
from photomaker_core.memory.quantization import is_quantized_to_int8

_RESERVE: Final = 0.12
_ROWS_PER_PICTURE: Final = 2
_TOKENS_OF_A_CHUNK: Final = 77


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that the parts of a model need: weights, and the most that is alive beside them while they run.

    ``step`` is for one guided picture, of several people and with the longest prompt; ``largest_layer`` what sequential
    offload has on the device at once.
    """

    unet: int
    int8_unet: int
    float8_unet: int
    vae: int
    encoders: int
    step: int
    decode: int
    tiled_decode: int
    largest_layer: int

    def peak(self, plan: MemoryPlan, batch: int = 1) -> int:
        """The most that is on the device at once while ``batch`` pictures are drawn."""
        decode = self.tiled_decode if plan.tiled_vae else self.decode
        if plan.offload == "sequential":
            return self.largest_layer + max(batch * self.step, decode)
        if plan.offload == "model":
            return max(self.unet + batch * self.step, self.vae + decode, self.encoders)
        visiting = self.encoders if plan.offloads_encoders else 0
        return self.resident(plan) + max(batch * self.step, decode, visiting)

    def resident(self, plan: MemoryPlan) -> int:
        """Bytes that stay on the device between two steps."""
        if plan.offload != "none":
            return 0
        unet = {"plain": self.unet, "int8": self.int8_unet, "float8": self.float8_unet}[plan.unet_weights]
        return unet + self.vae + (0 if plan.offloads_encoders else self.encoders)

    def largest_batch(self, plan: MemoryPlan, free: int, limit: int) -> int:
        """The most pictures, up to ``limit``, that one UNet forward can draw within ``free`` bytes; at least one."""
        usable = free * (1 - _RESERVE)
        return max((batch for batch in range(1, limit + 1) if self.peak(plan, batch) <= usable), default=1)

    def choose(self, free: int, plans: Iterable[MemoryPlan] = PLANS) -> MemoryPlan:
        """The fastest plan that fits ``free`` bytes with a reserve, or the smallest where none does."""
        candidates = list(plans)
        fitting = [plan for plan in candidates if self.peak(plan) <= free * (1 - _RESERVE)]
        return fitting[0] if fitting else candidates[-1]


def footprint(
    unet_config: Any,
    vae_config: Any,
    encoders_bytes: int,
    dtype: torch.dtype,
    width: int,
    height: int,
    max_chunks: int = 1,
) -> Footprint:
    """The footprint at ``width`` x ``height`` pixels with weights in ``dtype``; no weights are made for it.

    Prompts have up to ``max_chunks`` chunks of 77 tokens.
    """
    vae_dtype = torch.float32 if dtype == torch.float16 and vae_config["force_upcast"] else dtype
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(unet_config).to(dtype)
        vae = AutoencoderKL.from_config(vae_config).to(vae_dtype)
        scale = 2 ** (len(vae_config["block_out_channels"]) - 1)
        latent = (vae_config["latent_channels"], height // scale, width // scale)
        tile = (latent[0], max(8, latent[1] // 2), max(8, latent[2] // 2))
        rows, tokens = _ROWS_PER_PICTURE, max_chunks * _TOKENS_OF_A_CHUNK
        _mask_attention(unet, rows, tokens, dtype)
        pooled = unet_config["projection_class_embeddings_input_dim"] - 6 * unet_config["addition_time_embed_dim"]
        step = live_bytes(
            unet,
            lambda: unet(
                torch.empty(rows, *latent, dtype=dtype),
                torch.empty(rows),
                torch.empty(rows, tokens, unet_config["cross_attention_dim"], dtype=dtype),
                added_cond_kwargs={
                    "text_embeds": torch.empty(rows, pooled, dtype=dtype),
                    "time_ids": torch.empty(rows, 6, dtype=dtype),
                },
            ),
        )
        decode, tiled = (
            live_bytes(vae, lambda size=size: vae.decode(torch.empty(1, *size, dtype=vae_dtype)))  # type: ignore[misc]
            for size in (latent, tile)
        )
    picture = 3 * width * height * vae_dtype.itemsize
    return Footprint(
        unet=weight_bytes(unet),
        int8_unet=_int8_bytes(unet),
        float8_unet=sum(parameter.numel() for parameter in unet.parameters()),
        vae=weight_bytes(vae),
        encoders=encoders_bytes,
        step=step,
        decode=decode,
        tiled_decode=tiled + 2 * picture,
        largest_layer=max(
            sum(one.nbytes for one in part.parameters(recurse=False)) for root in (unet, vae) for part in root.modules()
        ),
    )


def _mask_attention(unet: UNet2DConditionModel, rows: int, tokens: int, dtype: torch.dtype) -> None:
    """Have cross-attention take a mask for every position, as for several people in one picture."""
    masks: dict[int, Tensor] = {}

    def add_mask(_module: nn.Module, args: tuple[Tensor, ...], inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        positions = args[0].shape[-2] * args[0].shape[-1]
        mask = masks.setdefault(positions, torch.empty(rows, positions, tokens, dtype=dtype))
        return args, inputs | {"encoder_attention_mask": mask}

    for module in unet.modules():
        if isinstance(module, Transformer2DModel):
            module.register_forward_pre_hook(add_mask, with_kwargs=True)


def weight_bytes(*modules: nn.Module) -> int:
    """Bytes of the weights, quantised ones as they are kept."""
    return sum(kept.nbytes for module in modules for one in module.parameters() for kept in stored_tensors(one))


def _int8_bytes(unet: nn.Module) -> int:
    """A byte for each weight of a linear layer and a scale for each of its rows; all else as it is."""
    weights: list[Tensor] = [
        one.get_parameter("weight") for name, one in unet.named_modules() if is_quantized_to_int8(one, name)
    ]
    kept = sum(weight.numel() + len(weight) * weight.element_size() for weight in weights)
    return weight_bytes(unet) - sum(weight.nbytes for weight in weights) + kept


def free_bytes(device: torch.device) -> int:
    """Free memory where the model is to run."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
