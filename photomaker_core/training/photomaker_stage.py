"""The PhotoMaker stage: LoRA on the UNet's attention, the ID encoder and its fuse module (paper, 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.training_utils import cast_training_params
from torch import Tensor

from photomaker_core.loading.adapter import save_adapter
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders
from photomaker_core.training.diffusion import DiffusionObjective, uploaded, use_trainable_attention
from photomaker_core.training.lora import add_lora, lora_weights
from photomaker_core.training.pictures import Prompts, TrainingPictures, from_usable_pictures
from photomaker_core.training.text_to_image_stage import drop_text
from photomaker_core.training.trainer import Figures, ParameterGroup

_LORA_NAME = "photomaker"
ADAPTER_FILE = "photomaker-v1.safetensors"


class PhotoMakerStage:
    """Draws each target picture from one to four other pictures of the same person.

    ``id_learning_rate`` is that of the ID encoder and fuse module; ``masked_loss`` the probability that
    a picture's loss counts inside the person's mask only; ``lora_start`` holds an adapter's LoRA to go on with. With
    ``average_photos`` a person is the mean of their ID features instead of the stack (the paper's ablation).
    """

    def __init__(
        self,
        pipeline: StableDiffusionXLPipeline,
        id_encoder: IdEncoder,
        pictures: TrainingPictures,
        objective: DiffusionObjective,
        *,
        lora_rank: int,
        lora_learning_rate: float,
        id_learning_rate: float,
        null_text: float = 0.1,
        masked_loss: float = 0.5,
        most_id_photos: int = 4,
        lora_start: Mapping[str, Tensor] | None = None,
        average_photos: bool = False,
    ) -> None:
        self._pipeline, self._id_encoder = pipeline, id_encoder.requires_grad_(True)
        self._pictures, self._objective = pictures, objective
        self._learning_rates = (lora_learning_rate, id_learning_rate)
        self._null_text, self._masked_loss, self._most_id_photos = null_text, masked_loss, most_id_photos
        self._average_photos = average_photos
        self._text = TextEncoders.of(pipeline)
        for module in (pipeline.unet, pipeline.vae, *self._text.encoders):
            module.requires_grad_(False)
        if lora_start:
            pipeline.load_lora_weights(dict(lora_start), adapter_name=_LORA_NAME)
        else:
            add_lora(pipeline.unet, _LORA_NAME, lora_rank)
        for name, parameter in pipeline.unet.named_parameters():
            parameter.requires_grad_("lora_" in name)
        cast_training_params(pipeline.unet, torch.float32)
        use_trainable_attention(pipeline.unet, id_encoder.vision_model)

    def parameter_groups(self) -> list[ParameterGroup]:
        lora = [parameter for parameter in self._pipeline.unet.parameters() if parameter.requires_grad]
        encoder = [parameter for parameter in self._id_encoder.parameters() if parameter.requires_grad]
        return [ParameterGroup(lora, self._learning_rates[0]), ParameterGroup(encoder, self._learning_rates[1])]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        return from_usable_pictures(lambda: self._loss(batch_size, generator))

    def _loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        rng = Random(generator.initial_seed())
        device = self._pipeline.unet.device
        examples = self._pictures.random_examples(batch_size, rng)
        prompts = self._pictures.prompts(examples, self._text, rng, describe_identity=False)
        photos = [self._pictures.id_photos(example, rng, self._most_id_photos) for example in examples]
        side_px = self._id_encoder.image_size_px
        pixels = self._pictures.id_pixels([one for group in photos for one in group], side_px, rng)
        features = self._id_encoder.features(pixels.to(device)).flatten(1, 2)
        counts = [len(group) for group in photos]
        if self._average_photos:
            features = torch.stack([stack.mean(0) for stack in features.split(counts)])
            counts = [1] * len(counts)
        text = self._merged(prompts, features, counts)
        text = drop_text(self._text, text, self._null_text, rng)
        whole_picture = torch.tensor([rng.random() >= self._masked_loss for _ in examples]).view(-1, 1, 1, 1)
        mask = self._pictures.masks(examples).to(device)
        mask = mask.masked_fill(uploaded(whole_picture, device), 1.0) * self._pictures.loss_weights(examples).to(device)
        latents = self._pictures.latents(examples)
        return self._objective.loss(self._pipeline.unet, latents, text, self._pictures.side_px, generator, mask), {}

    def sample(self, path: Path) -> None:
        """Leave an adapter beside ``path``: any drawing command can show what it does."""
        self.export(path.parent)

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lora = lora_weights(self._pipeline.unet, _LORA_NAME)
        save_adapter(folder / ADAPTER_FILE, self._id_encoder, {f"unet.{name}": value for name, value in lora.items()})

    def _merged(self, prompts: Prompts, features: Tensor, counts: list[int]) -> TextEmbedding:
        """Prompts with their class words replaced by the stacked ID embeddings, [B, 77, D].

        ``features`` [N, D] are those of the first prompt's ``counts[0]`` photos, then of the second's, and so on.
        """
        device = features.device
        photos = uploaded(torch.tensor(counts), device)
        expanded = Prompts(prompts.first.to(device), prompts.second.to(device), prompts.class_tokens.to(device))
        expanded = expanded.expanded(photos)
        with torch.no_grad():
            plain = self._text.encode_ids(expanded.first, expanded.second)
        pairs = [(row, place) for row, count in enumerate(counts) for place in range(count)]
        rows, behind = uploaded(torch.tensor(pairs), device).unbind(1)
        places = expanded.class_tokens[rows] + behind
        stacked = self._id_encoder.fuse_module(plain.tokens[rows, places], features)
        tokens = plain.tokens.index_put((rows, places), stacked.to(plain.tokens.dtype))
        return TextEmbedding(tokens, plain.pooled)
