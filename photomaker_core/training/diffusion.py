"""The diffusion loss of every stage that trains a UNet: noise, weights by signal-to-noise ratio, masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import PreTrainedModel

from photomaker_core.models.text_encoders import TextEmbedding


@dataclass(frozen=True, slots=True)
class DiffusionObjective:
    """The training objective of the UNet: its target, and the weight of each timestep.

    ``snr_gamma``: min-SNR weighting (Hang et al. 2023); ``None`` weighs all timesteps alike. A share ``focus`` of the
    timesteps is drawn from ``focus_range`` alone.
    """

    scheduler: DDPMScheduler
    snr_gamma: float | None = 5.0
    focus: float = 0.0
    focus_range: tuple[int, int] = (20, 500)

    def loss(
        self,
        unet: UNet2DConditionModel,
        latents: Tensor,
        text: TextEmbedding,
        side_px: int,
        generator: torch.Generator,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Mean over the batch of ``latents`` [B, C, h, w], already scaled, on any device.

        ``mask`` [B, 1, h, w], at least 0, says how much the loss counts where (PhotoMaker's masked diffusion loss).
        """
        return self.denoise(unet, latents, text, side_px, generator).loss(mask)

    def denoise(
        self, unet: UNet2DConditionModel, latents: Tensor, text: TextEmbedding, side_px: int, generator: torch.Generator
    ) -> Denoised:
        """What the UNet makes of ``latents`` [B, C, h, w], already scaled, with noise of random timesteps."""
        device = unet.device
        latents = latents.to(device)
        local = generator_on(device, generator)
        noise = torch.randn(latents.shape, generator=local, device=device)
        timesteps = self._timesteps(len(latents), local)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        predicted = predict(unet, noisy, timesteps, text, side_px)
        kept = self.scheduler.alphas_cumprod.to(device)[timesteps]
        target = self._target(latents, noise, timesteps)
        is_velocity = self.scheduler.config.prediction_type == "v_prediction"
        return Denoised(noisy, predicted.float(), target.float(), kept, self._snr_weights(kept), is_velocity)

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        draw = partial(torch.randint, size=(count,), generator=generator, device=generator.device)
        anywhere = draw(0, self.scheduler.config.num_train_timesteps)
        if not self.focus:
            return anywhere
        share = torch.rand(count, generator=generator, device=generator.device)
        return torch.where(share < self.focus, draw(*self.focus_range), anywhere)

    def _target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        if self.scheduler.config.prediction_type == "v_prediction":
            velocity: Tensor = self.scheduler.get_velocity(latents, noise, timesteps)
            return velocity
        return noise

    def _snr_weights(self, kept: Tensor) -> Tensor:
        if self.snr_gamma is None:
            return torch.ones_like(kept)
        snr = kept / (1 - kept)
        clipped = snr.clamp(max=self.snr_gamma)
        weights: Tensor = clipped / (snr + 1 if self.scheduler.config.prediction_type == "v_prediction" else snr)
        return weights


@dataclass(frozen=True, slots=True)
class Denoised:
    """A UNet's answer to ``noisy`` latents [B, C, h, w]: ``predicted`` and its ``target``, both [B, C, h, w].

    ``kept`` [B] is the share of the pictures' variance that is left in them (alpha bar), above 0 and below 1;
    ``weights`` [B] says how much each picture's loss counts.
    """

    noisy: Tensor
    predicted: Tensor
    target: Tensor
    kept: Tensor
    weights: Tensor
    is_velocity: bool

    def loss(self, mask: Tensor | None = None) -> Tensor:
        """Mean over the batch; ``mask`` [B, 1, h, w], at least 0, says how much the loss counts where."""
        squared = (self.predicted - self.target) ** 2
        weight = torch.ones_like(squared[:, :1]) if mask is None else mask.to(squared.device)
        per_picture = (squared * weight).sum((1, 2, 3)) / (weight.sum((1, 2, 3)) * squared.shape[1]).clamp(min=1)
        weighted: Tensor = per_picture * self.weights
        return weighted.mean()

    def originals(self) -> Tensor:
        """The pictures' latents [B, C, h, w] that the prediction amounts to (Salimans and Ho 2022, appendix D)."""
        kept = self.kept.view(-1, 1, 1, 1)
        if self.is_velocity:
            return kept.sqrt() * self.noisy - (1 - kept).sqrt() * self.predicted
        return (self.noisy - (1 - kept).sqrt() * self.predicted) / kept.sqrt()


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator on ``device`` that is told by ``generator``: itself where it is there already."""
    if generator.device.type == device.type:
        return generator
    return torch.Generator(device).manual_seed(generator.initial_seed())


def uploaded(values: Tensor, device: torch.device) -> Tensor:
    """``values`` on ``device``, for which nobody waits until what the device does already is done."""
    return values.to(device, non_blocking=True)


def predict(unet: UNet2DConditionModel, noisy: Tensor, timesteps: Tensor, text: TextEmbedding, side_px: int) -> Tensor:
    """The UNet's output [B, C, h, w] for ``noisy`` latents of whole square pictures."""
    size = uploaded(torch.tensor([[side_px, side_px, 0, 0, side_px, side_px]]), noisy.device)
    output: Tensor = unet(
        noisy,
        timesteps,
        encoder_hidden_states=text.tokens,
        added_cond_kwargs={"text_embeds": text.pooled, "time_ids": size.expand(len(noisy), -1)},
        return_dict=False,
    )[0]
    return output


def use_trainable_attention(unet: UNet2DConditionModel, *text_encoders: PreTrainedModel) -> None:
    """On a CPU, take attention by plain matrix products: the backward pass of torch's fused kernel is slower there.

    Measured on the nano model (batch 64, bf16, 2 cores): 181 pictures a second through the UNet instead of 114,
    and half the time in the text encoders.
    """
    if unet.device.type == "cpu":
        unet.set_attn_processor(AttnProcessor())
        for encoder in text_encoders:
            encoder.set_attn_implementation("eager")
