"""The base stage: an SDXL-shaped text-to-image model, UNet and both text encoders trained together."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from random import Random

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from photomaker_core.images.preprocessing import tile
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders
from photomaker_core.training.diffusion import DiffusionObjective, uploaded, use_trainable_attention
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.portrait_latents import PortraitLatents
from photomaker_core.training.stage import Figures

SAMPLE_PROMPTS = (
    "a photo of a man with red hair wearing a blue shirt on a yellow background",
    "a portrait of a woman with long black hair at the beach",
    "a man with a beard wearing a green hoodie in the forest",
    "a photo of a girl with blonde hair in a red hat, smiling",
    "a pencil sketch of a woman wearing sunglasses",
    "a painting of an old man with white hair in a purple suit",
    "a woman with blue hair wearing a space suit in space",
    "a sepia photo of a boy wearing a cap",
    "a photo of a woman holding a flower in a garden",
    "a photo of a man laughing in a library",
    "half length photo of a man drinking coffee in the mountains",
    "full length photo of a woman waving in the snow",
    "a photo of a man and a woman at the beach",
    "a photo of a woman, a man and a girl in the forest",
    "a sad boy with red hair on a green background",
    "an angry old man wearing glasses in the city",
)


class TextToImageStage:
    """Diffusion loss on (latents, caption) pairs with a share ``null_text`` of the captions dropped."""

    def __init__(
        self,
        pipeline: StableDiffusionXLPipeline,
        portraits: PortraitLatents,
        objective: DiffusionObjective,
        learning_rate: float,
        *,
        null_text: float = 0.1,
        held_out: PortraitLatents | None = None,
    ) -> None:
        self._held_out = held_out or portraits
        self._pipeline, self._portraits, self._objective = pipeline, portraits, objective
        self._learning_rate, self._null_text = learning_rate, null_text
        self._text = TextEncoders.of(pipeline)
        self._side_px = portraits.side_px
        use_trainable_attention(pipeline.unet, *self._text.encoders)

    def parameter_groups(self) -> list[ParameterGroup]:
        modules = (self._pipeline.unet, self._pipeline.text_encoder, self._pipeline.text_encoder_2)
        return [
            ParameterGroup(list(itertools.chain(*(module.parameters() for module in modules))), self._learning_rate)
        ]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        return self._loss(self._portraits, batch_size, generator), {}

    def held_out_loss(self, batch_size: int, generator: torch.Generator) -> Tensor:
        return self._loss(self._held_out, batch_size, generator)

    def _loss(self, portraits: PortraitLatents, batch_size: int, generator: torch.Generator) -> Tensor:
        rng = Random(generator.initial_seed())
        examples = portraits.random_examples(batch_size, rng)
        prompts = portraits.prompts(examples, self._text, rng, describe_identity=True)
        text = drop_text(self._text, self._text.encode_ids(prompts.first, prompts.second), self._null_text, rng)
        latents = portraits.latents(examples)
        weights = portraits.loss_weights(examples)
        return self._objective.loss(self._pipeline.unet, latents, text, self._side_px, generator, weights)

    def sample(self, path: Path) -> None:
        self._pipeline.set_progress_bar_config(disable=True)
        pictures = self._pipeline(
            list(SAMPLE_PROMPTS),
            num_inference_steps=25,
            guidance_scale=4.0,
            height=self._side_px,
            width=self._side_px,
            generator=torch.Generator().manual_seed(1),
        ).images
        tile(pictures, columns=4).save(path)

    def export(self, folder: Path) -> None:
        save_half(self._pipeline, folder)


def save_half(pipeline: StableDiffusionXLPipeline, folder: Path) -> None:
    """Write a pipeline in half precision, the size that bases are published in, without this machine's paths."""
    copy.deepcopy(pipeline).to(torch.float16).save_pretrained(folder)
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text())
        if content.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(content, indent=2) + "\n")


def drop_text(text: TextEncoders, embedding: TextEmbedding, share: float, rng: Random) -> TextEmbedding:
    """Replace a ``share`` of the rows by the null text of classifier-free guidance.

    Half of those become zeros, SDXL's null text where no negative prompt is given, and half the
    embedding of the empty prompt.
    """
    rolls = torch.tensor([rng.random() for _ in range(len(embedding.tokens))])
    device = embedding.tokens.device
    dropped, blank = (uploaded(rolls < limit, device) for limit in (share, share / 2))
    empty = text.encode_ids(*(uploaded(ids, device) for ids in text.token_ids([""])))
    kept = []
    for value, null in ((embedding.tokens, empty.tokens), (embedding.pooled, empty.pooled)):
        shape = (-1, *([1] * (value.dim() - 1)))
        nothing = torch.where(blank.view(shape), torch.zeros_like(null), null)
        kept.append(torch.where(dropped.view(shape), nothing, value))
    return TextEmbedding(*kept)
