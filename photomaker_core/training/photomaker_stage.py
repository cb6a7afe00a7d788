"""The PhotoMaker stage: LoRA on the UNet's attention, the ID encoder and its fuse module (paper, 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.training_utils import cast_training_params
from torch import Tensor
from torch.nn import functional

from photomaker_core.loading.adapter import save_adapter
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.models.regional_attention import attention_grids, masked_attention
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders
from photomaker_core.nano.portrait_set import NOBODY
from photomaker_core.training.diffusion import DiffusionObjective, uploaded, use_trainable_attention
from photomaker_core.training.likeness_loss import LikenessLoss
from photomaker_core.training.lora import add_lora, lora_weights
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.pictures import Example, Prompts, TrainingPictures, from_usable_pictures
from photomaker_core.training.sample_pictures import SampleSheet, denoised
from photomaker_core.training.stage import Figures
from photomaker_core.training.text_to_image_stage import drop_text

_LORA_NAME = "photomaker"
ADAPTER_FILE = "photomaker-v1.safetensors"


class PhotoMakerStage:
    """Draws each target picture from one to four other pictures of each person in it who is meant.

    Where a picture shows several people, a person's stacked ID embedding is seen in their region alone, as in drawing.

    Of ``id_encoder`` those parameters are trained that ask for gradients, with ``id_learning_rate``; ``masked_loss``
    is the probability that a picture's loss counts inside the person's mask only; ``lora_start`` holds an adapter's
    LoRA to go on with. With ``average_photos`` a person is the mean of their ID features instead of the stack (the
    paper's ablation). ``likeness`` is a second loss, which the paper has not. ``samples`` says whom the samples show,
    and :meth:`held_out_loss` takes its pictures.
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
        likeness: LikenessLoss | None = None,
        samples: SampleSheet | None = None,
    ) -> None:
        self._pipeline, self._id_encoder = pipeline, id_encoder
        self._pictures, self._objective = pictures, objective
        self._samples = samples or SampleSheet(lambda: pictures)
        self._learning_rates = (lora_learning_rate, id_learning_rate)
        self._null_text, self._masked_loss, self._most_id_photos = null_text, masked_loss, most_id_photos
        self._average_photos, self._likeness = average_photos, likeness
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
        return from_usable_pictures(lambda: self._loss(self._pictures, batch_size, generator))

    def held_out_loss(self, batch_size: int, generator: torch.Generator) -> Tensor:
        pictures = self._samples.pictures()
        return from_usable_pictures(lambda: self._loss(pictures, batch_size, generator)[0])

    def _loss(self, pictures: TrainingPictures, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        rng = Random(generator.initial_seed())
        device = self._pipeline.unet.device
        examples = pictures.random_examples(batch_size, rng)
        prompts = pictures.prompts(examples, self._text, rng, describe_identity=False)
        text, spans = self._conditioned(pictures, examples, prompts, rng)
        meant = prompts.class_tokens >= 0
        text = drop_text(self._text, text, self._null_text, rng)
        whole_picture = torch.tensor([rng.random() >= self._masked_loss for _ in examples]).view(-1, 1, 1, 1)
        mask = pictures.masks(examples, meant).to(device)
        mask = mask.masked_fill(uploaded(whole_picture, device), 1.0) * pictures.loss_weights(examples).to(device)
        latents = pictures.latents(examples)
        unet, regions = self._pipeline.unet, pictures.regions(examples, rng)
        with ExitStack() as context:
            if regions is not None:
                grids = attention_grids(unet, *latents.shape[2:])
                context.enter_context(masked_attention(unet, region_masks(regions, spans, grids)))
            shown = self._objective.denoise(unet, latents, text, pictures.side_px, generator)
        if self._likeness is None or pictures is not self._pictures:
            return shown.loss(mask), {}
        likeness_loss, likeness = self._likeness(shown, examples, meant)
        return shown.loss(mask) + likeness_loss, {"likeness": likeness}

    def sample(self, path: Path) -> None:
        """Draw the people of the sample sheet, each from their own ID photos."""
        self._samples.drawn(self._pipeline, False, self._drawn).save(path)

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lora = lora_weights(self._pipeline.unet, _LORA_NAME)
        save_adapter(folder / ADAPTER_FILE, self._id_encoder, {f"unet.{name}": value for name, value in lora.items()})

    def _drawn(self, pictures: TrainingPictures, example: Example, prompts: Prompts) -> Tensor:
        rng, unet = Random(0), self._pipeline.unet
        text, spans = self._conditioned(pictures, [example], prompts, rng)
        regions = pictures.regions([example], rng)
        with ExitStack() as context:
            if regions is not None:
                side = regions.shape[-1]
                both = torch.cat([torch.full_like(spans, NOBODY), spans])
                masks = region_masks(regions.expand(2, -1, -1), both, attention_grids(unet, side, side))
                context.enter_context(masked_attention(unet, masks))
            return denoised(self._pipeline, text, pictures.side_px)

    def _conditioned(
        self, pictures: TrainingPictures, examples: list[Example], prompts: Prompts, rng: Random
    ) -> tuple[TextEmbedding, Tensor]:
        """The prompts' embeddings with the people of ``examples``, by their ID photos, and whose each token is."""
        meant = prompts.class_tokens >= 0
        photos = [
            pictures.id_photos(examples[row], person, rng, self._most_id_photos)
            for row, person in meant.nonzero().tolist()
        ]
        side_px = self._id_encoder.image_size_px
        pixels = pictures.id_pixels([one for group in photos for one in group], side_px, rng)
        features = self._id_encoder.features(pixels.to(self._pipeline.unet.device)).flatten(1, 2)
        numbers = [len(group) for group in photos]
        if self._average_photos:
            features = torch.stack([stack.mean(0) for stack in features.split(numbers)])
            numbers = [1] * len(numbers)
        counts = torch.zeros_like(prompts.class_tokens)
        counts[meant] = torch.tensor(numbers)
        return self._merged(prompts, features, counts)

    def _merged(self, prompts: Prompts, features: Tensor, counts: Tensor) -> tuple[TextEmbedding, Tensor]:
        """Prompts with their class words replaced by the stacked ID embeddings, [B, 77, D], and whose each token is.

        ``features`` [N, D] are those of the photos of the first prompt's first person, ``counts[0, 0]`` of them, then
        of its second and so on. A token [B, 77] is its person's number, or ``NOBODY``.
        """
        device = features.device
        expanded = prompts.expanded(counts)
        with torch.no_grad():
            plain = self._text.encode_ids(expanded.first.to(device), expanded.second.to(device))
        starts = expanded.class_tokens
        people = [(row, person, int(counts[row, person])) for row, person in counts.nonzero().tolist()]
        stacked_at = [
            (row, int(starts[row, person]) + number, person) for row, person, count in people for number in range(count)
        ]
        rows, places, owners = uploaded(torch.tensor(stacked_at), device).unbind(1)
        stacked = self._id_encoder.fuse_module(plain.tokens[rows, places], features)
        tokens = plain.tokens.index_put((rows, places), stacked.to(plain.tokens.dtype))
        spans = torch.full(plain.tokens.shape[:2], NOBODY, device=device).index_put((rows, places), owners)
        return TextEmbedding(tokens, plain.pooled), spans


def region_masks(regions: Tensor, spans: Tensor, grids: Iterable[tuple[int, int]]) -> dict[int, Tensor]:
    """What is added to attention scores on each grid of Q positions, by Q: [B, Q, 77], 0 or minus infinity.

    ID tokens (``spans`` [B, 77], their person's number or ``NOBODY``) are seen in their person's region alone:
    ``regions`` [B, h, w] says whose each latent position is.
    """
    masks = {}
    for height, width in grids:
        coarse = functional.interpolate(regions.unsqueeze(1).float(), (height, width), mode="nearest-exact")
        hidden = (spans != NOBODY).unsqueeze(1) & (spans.unsqueeze(1) != coarse.flatten(1).unsqueeze(2))
        masks[height * width] = torch.zeros(hidden.shape, device=spans.device).masked_fill(hidden, -torch.inf)
    return masks
