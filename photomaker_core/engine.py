"""The step engine: many generations, one denoising step at a time.

``condition`` once per request, ``begin``, then ``step`` any mixture of compatible generations until
each is done, then ``finish``. The GPU thread is its only caller in the bot; a script can use it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from photomaker_core.conditioning import Conditioning, condition, merge_step
from photomaker_core.errors import SettingsError
from photomaker_core.images import tensor_to_images
from photomaker_core.model import PhotoMaker
from photomaker_core.previews import LatentColours
from photomaker_core.schedulers import make_scheduler
from photomaker_core.vae_decoding import Decoding, decode_in_parts

StyleLoras = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How one picture is drawn.

    ``width`` and ``height`` are pixels; ``style_strength_ratio`` is the percentage of the steps that
    follow the text alone, unless ``start_merge_step`` says it outright; ``guidance_scale`` of 1 or less
    turns guidance off; ``style_loras`` are (name, weight) pairs of adapters known to the model.

    Two levers trade guidance for speed, each step without a negative branch being half the work: guidance is off
    outside ``guidance_interval``, in fractions of the steps (Kynkäänniemi et al. 2024); and only every
    ``guidance_every``-th step computes the negative branch, whose distance from the positive one serves the
    steps between (Lv et al. 2024, FasterCache).
    """

    width: int
    height: int
    steps: int = 50
    guidance_scale: float = 5.0
    seed: int = 0
    scheduler: str = "euler"
    style_strength_ratio: float = 20.0
    start_merge_step: int | None = None
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_every: int = 1
    style_loras: StyleLoras = ()

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise SettingsError(f"Steps must be between 1 and 1000; {self.steps} is not.")
        if not 0 <= self.seed < 2**63:
            raise SettingsError(f"A seed is a whole number from 0 on; {self.seed} is not.")
        if self.width % 8 or self.height % 8 or min(self.width, self.height) < 64:
            raise SettingsError(
                f"Width and height must be multiples of 8 from 64 on; {self.width} x {self.height} is not."
            )
        if self.guidance_every < 1:
            raise SettingsError(f"Guidance is computed every so many steps, at least 1; {self.guidance_every} is not.")
        start, end = self.guidance_interval
        if not 0 <= start <= end <= 1:
            raise SettingsError(f"A guidance interval lies within 0 and 1; {start:g} to {end:g} does not.")

    @property
    def merge_step(self) -> int:
        if self.start_merge_step is not None:
            return self.start_merge_step
        return merge_step(self.style_strength_ratio, self.steps)

    @property
    def batch_key(self) -> tuple[object, ...]:
        """Generations with equal keys can share a UNet forward."""
        return (self.width, self.height, self.style_loras)

    def guided_at(self, step: int) -> bool:
        """Whether classifier-free guidance is on at denoising step ``step``, counted from 0."""
        start, end = self.guidance_interval
        return self.guidance_scale > 1 and start <= step / self.steps < end

    def needs_negative_at(self, step: int) -> bool:
        """Whether step ``step`` computes the negative branch: where guidance begins, where the identity is merged
        in, and every so many steps."""
        if not self.guided_at(step):
            return False
        begins = not self.guided_at(step - 1)
        return begins or step == self.merge_step + 1 or step % self.guidance_every == 0


@dataclass(slots=True, eq=False)
class Generation:
    """One picture on its way; ``latents`` [1, C, h, w] are kept in float32 between steps.

    ``denoised`` is where the last step saw them end, or ``latents`` before the first; ``towards`` is the
    distance of the positive branch from the negative one when that was computed last.
    """

    conditioning: Conditioning
    settings: GenerationSettings
    scheduler: Any
    latents: Tensor
    noise: torch.Generator
    denoised: Tensor
    towards: Tensor | None = None
    steps_done: int = 0

    @property
    def is_done(self) -> bool:
        return self.steps_done >= len(self.scheduler.timesteps)

    @property
    def needs_negative(self) -> bool:
        return self.settings.needs_negative_at(self.steps_done)


class StepEngine:
    """Runs a :class:`PhotoMaker`'s generations in steps. Not thread-safe: one thread owns it."""

    def __init__(self, model: PhotoMaker) -> None:
        self.model = model
        self._colours: LatentColours | None = None

    def condition(self, prompt: str, negative_prompt: str | None, id_features: Tensor | None) -> Conditioning:
        """Embed a request once; ``id_features`` is [N, T, D], or ``None`` for a picture of nobody.

        Raises :class:`~photomaker_core.errors.PromptError`.
        """
        return condition(
            self.model.base.text,
            self.model.id_encoder,
            prompt,
            negative_prompt,
            self.model.trigger_word,
            id_features,
            zeros_for_empty_negative=self.model.base.zeros_for_empty_negative,
        )

    def begin(
        self, conditioning: Conditioning, settings: GenerationSettings, initial_noise: Tensor | None = None
    ) -> Generation:
        """Start a picture from its seed, or from given standard-normal ``initial_noise`` [1, C, h, w].

        Raises :class:`~photomaker_core.errors.SettingsError` for settings that cannot be drawn.
        """
        base = self.model.base
        unknown = [name for name, _ in settings.style_loras if name not in self.model.style_loras]
        if unknown:
            raise SettingsError(f"No style LoRA is loaded under the name “{unknown[0]}”.")
        noise = torch.Generator("cpu").manual_seed(settings.seed)
        if initial_noise is None:
            scale = base.vae_scale
            shape = (1, int(base.unet.config.in_channels), settings.height // scale, settings.width // scale)
            initial_noise = torch.randn(shape, generator=noise)
        scheduler: Any = make_scheduler(settings.scheduler, base.pipeline.scheduler.config)
        scheduler.set_timesteps(settings.steps, device=base.hardware.device)
        latents = initial_noise.to(base.hardware.device, torch.float32) * scheduler.init_noise_sigma
        return Generation(conditioning, settings, scheduler, latents, noise, denoised=latents)

    @torch.no_grad()
    def step(self, generations: Sequence[Generation]) -> None:
        """Advance every generation by one denoising step, in one UNet forward.

        All must have the same ``settings.batch_key`` and none may be done; ``ValueError`` otherwise. An error of the
        UNet, such as lack of memory, leaves every generation as it was.
        """
        if not generations:
            return
        if len({generation.settings.batch_key for generation in generations}) > 1:
            raise ValueError("these generations differ in latent shape or style LoRAs and cannot share a step")
        if any(generation.is_done for generation in generations):
            raise ValueError("a generation that is done cannot be stepped")
        self.model.activate_loras(generations[0].settings.style_loras)
        predictions = self._predict_noise(generations)
        for generation in generations:
            settings = generation.settings
            positive = next(predictions)
            if generation.needs_negative:
                generation.towards = positive - next(predictions)
            predicted = positive
            if settings.guided_at(generation.steps_done) and generation.towards is not None:
                predicted = _guide(positive, generation.towards, settings.guidance_scale, settings.guidance_rescale)
            timestep = generation.scheduler.timesteps[generation.steps_done]
            extra = {"generator": generation.noise} if _draws_noise(generation.scheduler) else {}
            output = generation.scheduler.step(predicted, timestep, generation.latents, **extra)
            generation.latents = output.prev_sample
            generation.denoised = _denoised(generation.scheduler, output)
            generation.steps_done += 1

    def finish(self, generation: Generation) -> Image.Image:
        """Decode a generation into its picture; one that is not done gives a preview of where it is."""
        return tensor_to_images(self.decode(generation.latents))[0]

    def preview(self, generation: Generation) -> Image.Image:
        """A small picture, a pixel a latent, of what the generation is going to be; costs next to nothing."""
        if self._colours is None:
            base = self.model.base
            self._colours = LatentColours.fitted(base.vae, base.vae_scale, base.hardware.device)
        return tensor_to_images(self._colours(generation.denoised))[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] to pixels [B, 3, H, W] in 0..1."""
        parts = self.decoding(latents)
        while True:
            try:
                next(parts)
            except StopIteration as end:
                pixels: Tensor = end.value
                return pixels

    def decoding(self, latents: Tensor) -> Decoding:
        """The same in parts, between which other work can be done; each ``next`` runs one."""
        return decode_in_parts(self.model.base.vae, latents)

    def _predict_noise(self, generations: Sequence[Generation]) -> Iterator[Tensor]:
        """The UNet's output for each row: every generation's positive row, then the negative where it needs one."""
        latents, timesteps, embeddings, time_ids = [], [], [], []
        for generation in generations:
            settings = generation.settings
            timestep = generation.scheduler.timesteps[generation.steps_done]
            scaled = generation.scheduler.scale_model_input(generation.latents, timestep)
            positive = generation.conditioning.at_step(generation.steps_done, settings.merge_step)
            for embedding in (positive, generation.conditioning.negative)[: 1 + generation.needs_negative]:
                latents.append(scaled)
                timesteps.append(timestep)
                embeddings.append(embedding)
                time_ids.append([settings.height, settings.width, 0, 0, settings.height, settings.width])
        hardware = self.model.base.hardware
        output = self.model.base.unet(
            torch.cat(latents).to(hardware.dtype),
            torch.stack(timesteps).to(hardware.device),
            encoder_hidden_states=torch.cat([embedding.tokens for embedding in embeddings]).to(hardware.dtype),
            added_cond_kwargs={
                "text_embeds": torch.cat([embedding.pooled for embedding in embeddings]).to(hardware.dtype),
                "time_ids": torch.tensor(time_ids, device=hardware.device, dtype=hardware.dtype),
            },
            return_dict=False,
        )[0]
        return iter(output.float().split(1))


def _guide(positive: Tensor, towards: Tensor, scale: float, rescale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), rescaled as Lin et al. 2023, equation 16.

    ``towards`` is the positive prediction minus the negative one, so that scale 1 changes nothing.
    """
    guided = positive + (scale - 1) * towards
    if rescale <= 0:
        return guided
    axes = list(range(1, guided.ndim))
    matched = guided * (positive.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True))
    return rescale * matched + (1 - rescale) * guided


def _denoised(scheduler: Any, output: Any) -> Tensor:
    """The scheduler's estimate of the latents without noise; what each calls it differs."""
    for name in ("pred_original_sample", "denoised"):
        found: Tensor | None = getattr(output, name, None)
        if found is not None:
            return found
    estimates = [one for one in getattr(scheduler, "model_outputs", ()) if one is not None]
    latest: Tensor = estimates[-1] if estimates else output.prev_sample
    return latest


def _draws_noise(scheduler: Any) -> bool:
    return "generator" in scheduler.step.__code__.co_varnames
