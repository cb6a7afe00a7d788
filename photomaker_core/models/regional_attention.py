"""Cross-attention by region: which latent positions see which tokens, and where a token is looked at.

A person's tokens are for the positions of that person alone, as in FastComposer's localised attention (Xiao et al.
2023) and InstantFamily (Kim et al. 2024). Called by the engine.

Everything here is laid on diffusers' ``Transformer2DModel``, around the blocks and not inside them: compiled blocks,
any attention processor (sliced, fused, SDPA), LoRA layers and offloaded weights work as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.nn import functional

LOW_RESOLUTION_POSITIONS: Final = 1100
"""Attention is read on the finest grid of at most so many positions: 32 x 32 for SDXL, in any aspect ratio."""


def attention_grids(unet: UNet2DConditionModel, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """The (height, width) of the grids on which ``unet`` has cross-attention for latents of this size, finest first."""
    config = unet.config
    levels = len(config.down_block_types)
    attending = {level for level, name in enumerate(config.down_block_types) if "CrossAttn" in name}
    attending |= {levels - 1 - index for index, name in enumerate(config.up_block_types) if "CrossAttn" in name}
    if "CrossAttn" in (config.mid_block_type or ""):
        attending.add(levels - 1)
    grids = [(height, width)]
    for _ in range(levels - 1):
        height, width = (height + 1) // 2, (width + 1) // 2
        grids.append((height, width))
    return tuple(grids[level] for level in sorted(attending))


def region_mask(regions: Tensor, spans: Sequence[range], length: int) -> Tensor:
    """What is added to attention scores, [1, h * w, ``length``] in float32: 0, or minus infinity for what is not seen.

    ``regions`` [P, h, w] is true where person p is; their tokens ``spans[p]`` are seen only there, all others
    everywhere. Some token must be in no span.
    """
    mask = torch.zeros(1, regions[0].numel(), length)
    for region, span in zip(regions, spans, strict=True):
        mask[0, ~region.flatten(), span.start : span.stop] = -torch.inf
    return mask


def joined_masks(masks: Sequence[Tensor | None], lengths: Sequence[int], like: Tensor) -> Tensor | None:
    """One mask [B, Q or 1, L] for rows whose embeddings are ``lengths`` long and padded to the longest L.

    A row's own mask is [1, Q, its length], or ``None`` where it sees all its tokens. ``None`` where no row needs one.
    """
    longest = max(lengths)
    if all(mask is None for mask in masks) and min(lengths) == longest:
        return None
    positions = max(1 if mask is None else mask.shape[1] for mask in masks)
    rows = []
    for mask, length in zip(masks, lengths, strict=True):
        row = like.new_zeros(1, 1, length) if mask is None else mask.to(like)
        rows.append(functional.pad(row, (0, longest - length), value=-torch.inf).expand(1, positions, longest))
    return torch.cat(rows)


def padded_tokens(tokens: Sequence[Tensor]) -> Tensor:
    """Embeddings [1, L_i, D] as one batch [B, L, D], the shorter ones with zeros behind them."""
    longest = max(one.shape[1] for one in tokens)
    return torch.cat(
        [one if one.shape[1] == longest else functional.pad(one, (0, 0, 0, longest - one.shape[1])) for one in tokens]
    )


@contextmanager
def masked_attention(unet: UNet2DConditionModel, masks: Mapping[int, Tensor]) -> Iterator[None]:
    """While the context lasts, cross-attention adds ``masks[Q]`` [B, Q or 1, L] on grids of Q positions."""

    def add_mask(_module: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        hidden = args[0] if args else inputs["hidden_states"]
        mask = masks[hidden.shape[-2] * hidden.shape[-1]]
        return args, inputs | {"encoder_attention_mask": mask}

    with ExitStack() as hooks:
        for transformer in _transformers(unet):
            hooks.callback(transformer.register_forward_pre_hook(add_mask, with_kwargs=True).remove)
        yield


@contextmanager
def attention_to_tokens(
    unet: UNet2DConditionModel, rows: Mapping[int, Sequence[range]], lengths: Sequence[int]
) -> Iterator[dict[int, Tensor]]:
    """While the context lasts, a forward of ``unet`` fills the result: for each of ``rows`` [P, h, w] in float32.

    ``rows[index]`` are spans of tokens of the batch's row ``index``, whose embeddings are ``lengths[index]`` long
    without their padding; the result is the attention that each position of a low resolution pays to each span, summed
    over its tokens and averaged over heads and the up blocks' layers (Tang et al. 2022, DAAM). The queries are computed
    beside the forward, whose own blocks stay untouched.
    """
    found: dict[int, Tensor] = {}
    transformers = _transformers(unet.up_blocks)

    def read(module: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        hidden = args[0] if args else inputs["hidden_states"]
        height, width = hidden.shape[-2:]
        if (height, width) != grid:
            return
        for index, spans in rows.items():
            tokens = inputs["encoder_hidden_states"][index : index + 1, : lengths[index]]
            (row,) = _attention(module, hidden[index : index + 1], tokens)
            maps = torch.stack([row[:, span.start : span.stop].sum(1) for span in spans])
            found[index] = found.get(index, 0.0) + maps.view(-1, height, width)

    grid: tuple[int, int] = (0, 0)

    def choose(_module: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        nonlocal grid
        grid = _low_resolution(unet, *(args[0] if args else inputs["sample"]).shape[-2:])

    with ExitStack() as hooks:
        hooks.callback(unet.register_forward_pre_hook(choose, with_kwargs=True).remove)
        for transformer in transformers:
            hooks.callback(transformer.register_forward_pre_hook(read, with_kwargs=True).remove)
        yield found


def _low_resolution(unet: UNet2DConditionModel, height: int, width: int) -> tuple[int, int]:
    grids = attention_grids(unet, height, width)
    return next((one for one in grids if one[0] * one[1] <= LOW_RESOLUTION_POSITIONS), grids[-1])


def _attention(transformer: Any, hidden: Tensor, tokens: Tensor) -> Tensor:
    """The attention [B, Q, L] of a transformer's first block to ``tokens``, averaged over heads."""
    block = transformer.transformer_blocks[0]
    hidden = transformer.norm(hidden)
    if transformer.use_linear_projection:
        hidden = transformer.proj_in(hidden.flatten(2).transpose(1, 2))
    else:
        hidden = transformer.proj_in(hidden).flatten(2).transpose(1, 2)
    hidden = hidden + block.attn1(block.norm1(hidden))
    attention = block.attn2
    query, key = (
        projected.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        for projected in (attention.to_q(block.norm2(hidden)), attention.to_k(tokens))
    )
    scores = query.float() @ key.float().transpose(-1, -2) * attention.scale
    averaged: Tensor = scores.softmax(-1).mean(1)
    return averaged


def _transformers(module: nn.Module) -> list[Transformer2DModel]:
    return [one for one in module.modules() if isinstance(one, Transformer2DModel)]
