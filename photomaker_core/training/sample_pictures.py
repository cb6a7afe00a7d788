"""Pictures that show how far a UNet's training is: the same people, captions and noise every time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from photomaker_core.errors import DrawingError
from photomaker_core.images.preprocessing import tensor_to_images, tile
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders
from photomaker_core.models.vae import decode_in_parts
from photomaker_core.training.diffusion import predict
from photomaker_core.training.pictures import Example, Prompts, TrainingPictures, from_usable_pictures, tokenise

_LOGGER: Final = logging.getLogger(__name__)
_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class SampleSheet:
    """What a stage's sample shows: a row for each of ``people`` people.

    A row is a picture of ``pictures``, then what is drawn for its caption, then for each of ``prompts``, in which a
    class word occurs. ``pictures`` gives the same examples for the same random numbers whenever it is called.
    """

    pictures: Callable[[], TrainingPictures]
    people: int = 4
    prompts: tuple[str, ...] = ()

    @torch.no_grad()
    def drawn(
        self,
        pipeline: StableDiffusionXLPipeline,
        describe_identity: bool,
        draw: Callable[[TrainingPictures, Example, Prompts], Tensor],
    ) -> Image.Image:
        """The sheet, in the UNet's precision; ``draw`` makes latents [1, C, h, w] of one person and prompt."""
        weights = pipeline.unet.conv_in.weight
        text = TextEncoders.of(pipeline)
        with torch.autocast(weights.device.type, weights.dtype, enabled=weights.dtype != torch.float32):
            return from_usable_pictures(lambda: self._drawn(text, pipeline.vae, describe_identity, draw))

    def _drawn(
        self,
        text: TextEncoders,
        vae: Any,
        describe_identity: bool,
        draw: Callable[[TrainingPictures, Example, Prompts], Tensor],
    ) -> Image.Image:
        pictures = self.pictures()
        shown: list[Image.Image] = []
        for example in pictures.random_examples(self.people, Random(_SEED)):
            caption = pictures.prompts([example], text, Random(_SEED), describe_identity=describe_identity)
            shown += _pictures(vae, pictures.latents([example]), pictures.side_px)
            for prompts in (caption, *(tokenise(text, [prompt]) for prompt in self.prompts)):
                shown += _pictures(vae, draw(pictures, example, prompts), pictures.side_px)
        return tile(shown, columns=2 + len(self.prompts))


@torch.no_grad()
def denoised(
    pipeline: StableDiffusionXLPipeline,
    text: TextEmbedding,
    side_px: int,
    *,
    scheduler: Any = None,
    steps: int = 25,
    guidance: float = 5.0,
) -> Tensor:
    """Latents [1, C, h, w] for ``text`` of one row, by Euler's method or another ``scheduler``.

    With a ``guidance`` of 1 or less the UNet sees ``text`` alone, else zeros, SDXL's null text, before it.
    """
    unet = pipeline.unet
    device, is_guided = unet.device, guidance > 1
    scheduler = scheduler or EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(steps, device=device)
    generator = torch.Generator().manual_seed(_SEED)
    side = side_px // 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    latents: Tensor = torch.randn((1, unet.config.in_channels, side, side), generator=generator).to(device)
    latents = latents * scheduler.init_noise_sigma
    if is_guided:
        nothing = text.zeros_like()
        text = TextEmbedding(
            *(torch.cat(pair) for pair in ((nothing.tokens, text.tokens), (nothing.pooled, text.pooled)))
        )
    for timestep in scheduler.timesteps:
        noisy = scheduler.scale_model_input(latents, timestep).expand(len(text.tokens), -1, -1, -1)
        predicted = predict(unet, noisy, timestep, text, side_px).float()
        if is_guided:
            without, within = predicted.chunk(2)
            predicted = without + guidance * (within - without)
        latents = scheduler.step(predicted, timestep, latents, generator=generator).prev_sample
    return latents


def _pictures(vae: Any, latents: Tensor, side_px: int) -> Sequence[Image.Image]:
    """Latents as pictures; grey ones, and a warning, where their numbers are none."""
    decoding = decode_in_parts(vae, latents.to(vae.device))
    try:
        with torch.autocast(vae.device.type, enabled=False):
            while True:
                next(decoding)
    except StopIteration as end:
        return tensor_to_images(end.value)
    except DrawingError:
        _LOGGER.warning("a sample cannot be shown: its numbers grew out of bounds")
        return [Image.new("RGB", (side_px, side_px), (128, 128, 128)) for _ in latents]
