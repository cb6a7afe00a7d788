"""Deep-feature caching: steps that compute only the UNet's outer blocks (Ma et al. 2023, DeepCache).

Between neighbouring denoising steps the UNet's deep features hardly change. A full step keeps what the last up block
was given; a shallow one computes the first down block and the last up block anew around it. Called by the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn


@contextmanager
def deep_features_of(unet: UNet2DConditionModel) -> Iterator[list[Tensor]]:
    """While the context lasts, every forward of ``unet`` adds its deep features [B, C, h, w] to the list."""
    found: list[Tensor] = []

    def keep(_block: nn.Module, _args: Any, inputs: dict[str, Any]) -> None:
        found.append(inputs["hidden_states"])

    hook = unet.up_blocks[-1].register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield found
    finally:
        hook.remove()


def shallow_forward(
    unet: UNet2DConditionModel,
    sample: Tensor,
    timesteps: Tensor,
    encoder_hidden_states: Tensor,
    added_cond_kwargs: dict[str, Tensor],
    deep: Tensor,
) -> Tensor:
    """The UNet's output [B, C, h, w] for ``sample``, with everything between the outermost blocks taken from ``deep``.

    Arguments are those of the UNet's own forward. With the deep features of the very same input the result is the
    same as the UNet's.
    """
    embedding = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=timesteps))
    embedding = embedding + unet.get_aug_embed(
        emb=embedding, encoder_hidden_states=encoder_hidden_states, added_cond_kwargs=added_cond_kwargs
    )
    first, last = unet.down_blocks[0], unet.up_blocks[-1]
    hidden = unet.conv_in(sample)
    _, residuals = first(hidden_states=hidden, temb=embedding, **_text_for(first, encoder_hidden_states))
    around = (hidden, *residuals)[: len(last.resnets)]
    hidden = last(
        hidden_states=deep,
        temb=embedding,
        res_hidden_states_tuple=around,
        **_text_for(last, encoder_hidden_states),
    )
    if unet.conv_norm_out is not None:
        hidden = unet.conv_act(unet.conv_norm_out(hidden))
    output: Tensor = unet.conv_out(hidden)
    return output


def _text_for(block: nn.Module, encoder_hidden_states: Tensor) -> dict[str, Tensor]:
    return {"encoder_hidden_states": encoder_hidden_states} if getattr(block, "has_cross_attention", False) else {}
