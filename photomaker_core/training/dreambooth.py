"""DreamBooth (Ruiz et al. 2023) on SDXL: the base learns one person, as a LoRA or whole.

What PhotoMaker does without; here as the baseline it is compared with, and for who wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from PIL import Image, ImageOps
from torch import Tensor

from photomaker_core.errors import SettingsError
from photomaker_core.images.pixels import signed_pixels
from photomaker_core.images.preprocessing import tile
from photomaker_core.loading.base_model import Hardware, best_hardware, load_base
from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders
from photomaker_core.models.vae import encode_pixels
from photomaker_core.training.diffusion import DiffusionObjective
from photomaker_core.training.loop_settings import LoopSettings
from photomaker_core.training.lora import LORA_FILE, add_lora, save_lora
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.text_to_image_stage import save_half
from photomaker_core.training.trainer import train

IDENTIFIER: Final = "sks"
LORA_RANK: Final = 16
_LORA_NAME: Final = "dreambooth"
_PRIOR_BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class DreamBooth:
    """The settings of the training on one person.

    ``lora_rank`` of ``None`` trains the whole UNet. ``prior_pictures`` are drawn by the base beforehand from the
    class word alone and keep it from forgetting; ``prior_weight`` is their share of the loss (the paper's lambda).
    """

    steps: int = 500
    batch_size: int = 1
    learning_rate: float = 1e-4
    lora_rank: int | None = LORA_RANK
    prior_pictures: int = 50
    prior_weight: float = 1.0
    mixed_precision: str = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.prior_pictures < 0 or self.learning_rate <= 0:
            raise SettingsError("DreamBooth needs at least one step, a learning rate above 0 and a prior of 0 or more.")

    @property
    def loop(self) -> LoopSettings:
        return LoopSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            warmup_steps=0,
            schedule="constant_with_warmup",
            ema_decay=0.0,
            mixed_precision=self.mixed_precision,
            seed=self.seed,
            sample_every=0,
            checkpoint_every=self.steps,
        )


class DreamBoothStage:
    """Diffusion loss on "a photo of sks man" and, on pictures of the prior, on "a photo of a man"."""

    def __init__(
        self,
        pipeline: StableDiffusionXLPipeline,
        photos: Sequence[Image.Image],
        prior: Sequence[Image.Image],
        class_word: str,
        training: DreamBooth,
    ) -> None:
        self._pipeline, self._training = pipeline, training
        self._side_px = int(pipeline.unet.config.sample_size) * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        text = TextEncoders.of(pipeline)
        self._prompts = (f"a photo of {IDENTIFIER} {class_word}", f"a photo of a {class_word}")
        self._texts = [text.encode(prompt) for prompt in self._prompts]
        self._latents = [_latents(pipeline.vae, pictures, self._side_px) for pictures in (photos, prior)]
        self._objective = DiffusionObjective(DDPMScheduler.from_config(pipeline.scheduler.config), snr_gamma=None)
        unet = pipeline.unet
        unet.requires_grad_(training.lora_rank is None)
        if training.lora_rank is not None:
            add_lora(unet, _LORA_NAME, training.lora_rank)

    def parameter_groups(self) -> list[ParameterGroup]:
        trained = [parameter for parameter in self._pipeline.unet.parameters() if parameter.requires_grad]
        return [ParameterGroup(trained, self._training.learning_rate)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        person = self._part(0, batch_size, generator)
        if not len(self._latents[1]):
            return person, {}
        prior = self._part(1, batch_size, generator)
        return person + self._training.prior_weight * prior, {"prior": prior.item()}

    def sample(self, path: Path) -> None:
        pictures = self._pipeline(self._prompts[0], num_images_per_prompt=4, num_inference_steps=30).images
        tile(pictures, columns=4).save(path)

    def export(self, folder: Path) -> None:
        """Write the LoRA, or the whole pipeline in half precision."""
        if self._training.lora_rank is None:
            save_half(self._pipeline, folder)
            return
        save_lora(self._pipeline.unet, _LORA_NAME, folder)

    def _part(self, index: int, batch_size: int, generator: torch.Generator) -> Tensor:
        latents, text = self._latents[index], self._texts[index]
        chosen = latents[torch.randint(len(latents), (batch_size,), generator=generator).to(latents.device)]
        rows = TextEmbedding(text.tokens.expand(batch_size, -1, -1), text.pooled.expand(batch_size, -1))
        return self._objective.loss(self._pipeline.unet, chosen, rows, self._side_px, generator)


def personalise(
    base: str,
    photos: Sequence[Image.Image],
    class_word: str,
    training: DreamBooth,
    folder: Path,
    *,
    hardware: Hardware | None = None,
    prior_folder: Path | None = None,
) -> Path:
    """Train on ``photos`` in ``folder``; returns the LoRA file, or the model folder after full training.

    Pictures of the prior are kept in ``prior_folder`` (default: in ``folder``) and used again for the same
    class word.
    """
    pipeline = load_base(base, hardware or Hardware(best_hardware().device, torch.float32)).pipeline
    prior = _prior(pipeline, class_word, training, prior_folder or folder / "prior")
    train(DreamBoothStage(pipeline, photos, prior, class_word, training), training.loop, folder)
    exported = folder / "export"
    return exported if training.lora_rank is None else exported / LORA_FILE


def _prior(pipeline: Any, class_word: str, training: DreamBooth, folder: Path) -> list[Image.Image]:
    kept = folder / class_word
    kept.mkdir(parents=True, exist_ok=True)
    paths = [kept / f"{number:04}.png" for number in range(training.prior_pictures)]
    missing = [path for path in paths if not path.exists()]
    for start in range(0, len(missing), _PRIOR_BATCH):
        batch = missing[start : start + _PRIOR_BATCH]
        noise = [torch.Generator().manual_seed(training.seed + int(path.stem)) for path in batch]
        drawn = pipeline([f"a photo of a {class_word}"] * len(batch), num_inference_steps=30, generator=noise).images
        for path, picture in zip(batch, drawn, strict=True):
            picture.save(path)
    return [Image.open(path).convert("RGB") for path in paths]


@torch.no_grad()
def _latents(vae: Any, pictures: Sequence[Image.Image], side_px: int) -> Tensor:
    """Centre-cropped pictures as scaled latents [N, C, h, w]; [0] for none."""
    if not pictures:
        return torch.zeros(0)
    fitted = [ImageOps.fit(picture, (side_px, side_px), Image.Resampling.BICUBIC) for picture in pictures]
    pixels = signed_pixels(np.stack([np.asarray(one) for one in fitted]))
    return encode_pixels(vae, pixels.to(vae.device))
