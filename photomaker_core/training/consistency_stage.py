"""Latent consistency distillation of a base into a LoRA (Luo et al. 2023, arXiv 2310.04378 and 2311.05556).

With the LoRA the base draws in two to eight steps of the scheduler ``lcm`` and without guidance, which the LoRA has
learnt: what the bot's quality ``turbo`` uses.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

import torch
from diffusers import DDPMScheduler, LCMScheduler, StableDiffusionXLPipeline
from diffusers.training_utils import cast_training_params
from torch import Tensor

from photomaker_core.models.text_encoders import TextEmbedding, TextEncoders
from photomaker_core.training.diffusion import predict, use_trainable_attention
from photomaker_core.training.lora import add_lora, save_lora
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.pictures import Example, Prompts, TrainingPictures, from_usable_pictures
from photomaker_core.training.sample_pictures import SampleSheet, denoised
from photomaker_core.training.stage import Figures

_LORA_NAME: Final = "lcm"
_TARGETS: Final = [
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2",
    "conv_shortcut", "time_emb_proj",
]  # fmt: skip
_SIGMA_DATA: Final = 0.5
_TIMESTEP_SCALING: Final = 10.0
_HUBER: Final = 0.001
_SAMPLE_STEPS: Final = 4


class ConsistencyStage:
    """Teaches a LoRA to say from any timestep where the base, guided, would end.

    ``solver_steps`` is the teacher's DDIM schedule; ``guidance`` the range from which its guidance scale is drawn.
    """

    def __init__(
        self,
        pipeline: StableDiffusionXLPipeline,
        pictures: TrainingPictures,
        learning_rate: float,
        *,
        lora_rank: int,
        guidance: tuple[float, float] = (3.0, 8.0),
        solver_steps: int = 50,
        samples: SampleSheet | None = None,
    ) -> None:
        self._pipeline, self._pictures, self._learning_rate = pipeline, pictures, learning_rate
        self._guidance, self._samples = guidance, samples or SampleSheet(lambda: pictures)
        self._noise = DDPMScheduler.from_config(pipeline.scheduler.config)
        stride = self._noise.config.num_train_timesteps // solver_steps
        self._stride, self._solver_steps = stride, solver_steps
        self._text = TextEncoders.of(pipeline)
        for module in (pipeline.unet, pipeline.vae, *self._text.encoders):
            module.requires_grad_(False)
        add_lora(pipeline.unet, _LORA_NAME, lora_rank, _TARGETS)
        cast_training_params(pipeline.unet, torch.float32)
        use_trainable_attention(pipeline.unet)

    def parameter_groups(self) -> list[ParameterGroup]:
        trained = [parameter for parameter in self._pipeline.unet.parameters() if parameter.requires_grad]
        return [ParameterGroup(trained, self._learning_rate)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        return from_usable_pictures(lambda: self._loss(self._pictures, batch_size, generator)), {}

    def held_out_loss(self, batch_size: int, generator: torch.Generator) -> Tensor:
        pictures = self._samples.pictures()
        return from_usable_pictures(lambda: self._loss(pictures, batch_size, generator))

    def _loss(self, pictures: TrainingPictures, batch_size: int, generator: torch.Generator) -> Tensor:
        rng, unet = Random(generator.initial_seed()), self._pipeline.unet
        examples = pictures.random_examples(batch_size, rng)
        prompts = pictures.prompts(examples, self._text, rng, describe_identity=True)
        with torch.no_grad():
            text = self._text.encode_ids(prompts.first, prompts.second)
        latents = pictures.latents(examples).to(unet.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        places = torch.randint(1, self._solver_steps + 1, (batch_size,), generator=generator).to(unet.device)
        timesteps = places * self._stride - 1
        before = (timesteps - self._stride).clamp(min=0)
        low, high = self._guidance
        scale = (low + (high - low) * torch.rand(batch_size, 1, 1, 1, generator=generator)).to(unet.device)
        noisy = self._noise.add_noise(latents, noise, timesteps)
        said = self._consistent(noisy, timesteps, text)
        with torch.no_grad():
            earlier = self._teacher_step(noisy, timesteps, before, text, scale)
            expected = self._consistent(earlier, before, text)
        difference = said.float() - expected.float()
        weights = pictures.loss_weights(examples).to(unet.device)
        huber = (difference.square() + _HUBER**2).sqrt() - _HUBER
        return (huber * weights).sum() / (weights.sum() * huber.shape[1])

    def sample(self, path: Path) -> None:
        """Draw the captions of the sample sheet in four steps."""
        self._samples.drawn(self._pipeline, True, self._drawn).save(path)

    def export(self, folder: Path) -> None:
        save_lora(self._pipeline.unet, _LORA_NAME, folder)

    def _drawn(self, pictures: TrainingPictures, example: Example, prompts: Prompts) -> Tensor:
        text = self._text.encode_ids(prompts.first, prompts.second)
        scheduler = LCMScheduler.from_config(self._pipeline.scheduler.config)
        return denoised(self._pipeline, text, pictures.side_px, scheduler=scheduler, steps=_SAMPLE_STEPS, guidance=1.0)

    def _consistent(self, noisy: Tensor, timesteps: Tensor, text: TextEmbedding) -> Tensor:
        """The consistency function f(z, t) = c_skip(t) z + c_out(t) x0(z, t), which is z itself at t = 0."""
        scaled = _TIMESTEP_SCALING * timesteps.view(-1, 1, 1, 1).float()
        spread = scaled.square() + _SIGMA_DATA**2
        clean, _ = self._clean_and_noise(noisy, timesteps, text)
        return _SIGMA_DATA**2 / spread * noisy + scaled / spread.sqrt() * clean

    def _teacher_step(
        self, noisy: Tensor, timesteps: Tensor, before: Tensor, text: TextEmbedding, scale: Tensor
    ) -> Tensor:
        """One guided DDIM step (Song et al. 2021) of the base without the LoRA."""
        self._pipeline.unet.disable_adapters()
        clean, noise = self._clean_and_noise(noisy, timesteps, text)
        clean_without, noise_without = self._clean_and_noise(noisy, timesteps, text.zeros_like())
        self._pipeline.unet.enable_adapters()
        clean = clean_without + scale * (clean - clean_without)
        noise = noise_without + scale * (noise - noise_without)
        signal, spread = self._signal_and_spread(before)
        return signal * clean + spread * noise

    def _clean_and_noise(self, noisy: Tensor, timesteps: Tensor, text: TextEmbedding) -> tuple[Tensor, Tensor]:
        """The clean latents and the noise in ``noisy``, both as the UNet predicts them."""
        predicted = predict(self._pipeline.unet, noisy, timesteps, text, self._pictures.side_px).float()
        signal, spread = self._signal_and_spread(timesteps)
        if self._noise.config.prediction_type == "v_prediction":
            return signal * noisy - spread * predicted, spread * noisy + signal * predicted
        return (noisy - spread * predicted) / signal, predicted

    def _signal_and_spread(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        kept = self._noise.alphas_cumprod.to(timesteps.device)[timesteps].view(-1, 1, 1, 1)
        return kept.sqrt(), (1 - kept).sqrt()
