"""The step engine: many generations, one denoising step at a time.

``condition`` once per request, ``begin``, then ``step`` any mixture of compatible generations until
each is done, then ``finish``. The GPU thread is its only caller in the bot; a script can use it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from photomaker_core.conditioning.stacking import Conditioning, condition
from photomaker_core.cpu_threads import CpuThreads
from photomaker_core.errors import SettingsError
from photomaker_core.images.preprocessing import tensor_to_images
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models.deep_cache import deep_features_of, shallow_forward
from photomaker_core.models.text_encoders import TextEmbedding
from photomaker_core.models.vae import Decoding, decode_in_parts, encode_pixels
from photomaker_core.sampling.generation import Generation, GenerationSettings, Img2ImgInit
from photomaker_core.sampling.latent_preview import LatentColours
from photomaker_core.sampling.schedulers import make_scheduler


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a UNet forward: branch 0 is a generation's positive one, branch 1 the negative."""

    generation: Generation
    branch: int

    @property
    def embedding(self) -> TextEmbedding:
        generation = self.generation
        if self.branch:
            return generation.conditioning.negative
        return generation.conditioning.at_step(generation.steps_done, generation.settings.merge_step)


@dataclass(frozen=True, slots=True)
class _UnetInputs:
    """What the UNet is called with: [B, C, h, w], [B], [B, 77, D], and SDXL's pooled text and time ids."""

    sample: Tensor
    timesteps: Tensor
    tokens: Tensor
    added: dict[str, Tensor]


class StepEngine:
    """Runs a :class:`PhotoMaker`'s generations in steps. Not thread-safe: one thread owns it."""

    def __init__(self, model: PhotoMaker) -> None:
        self.model = model
        self._colours: LatentColours | None = None
        self._threads = CpuThreads(torch.get_num_threads(), torch.set_num_threads)

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
        self,
        conditioning: Conditioning,
        settings: GenerationSettings,
        initial_noise: Tensor | None = None,
        start: Img2ImgInit | None = None,
    ) -> Generation:
        """Start a picture from its seed, or from given standard-normal ``initial_noise`` [1, C, h, w].

        With a ``start`` the noise is laid over that picture, and the schedule is entered where its strength says. Steps
        are not cached where the memory plan moves the UNet about: caching calls its blocks, which must be in one place.
        Raises :class:`~photomaker_core.errors.SettingsError` for settings that cannot be drawn.
        """
        base = self.model.base
        unknown = [name for name, _ in settings.style_loras if name not in self.model.style_loras]
        if unknown:
            raise SettingsError("No style LoRA is loaded under the name “{name}”.", name=unknown[0])
        if self.model.plan.offload != "none":
            settings = replace(settings, cache_every=1)
        noise = torch.Generator("cpu").manual_seed(settings.seed)
        if initial_noise is None:
            scale = base.vae_scale
            shape = (1, int(base.unet.config.in_channels), settings.height // scale, settings.width // scale)
            initial_noise = torch.randn(shape, generator=noise)
        scheduler: Any = make_scheduler(settings.scheduler, base.pipeline.scheduler.config)
        scheduler.set_timesteps(settings.steps, device=base.hardware.device)
        initial_noise = initial_noise.to(base.hardware.device, torch.float32)
        if start is None:
            latents = initial_noise * scheduler.init_noise_sigma
            return Generation(conditioning, settings, scheduler, latents, noise, denoised=latents)
        first = start.first_step(len(scheduler.timesteps))
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        encoded = self.encode(start.picture, settings.width, settings.height)
        latents = scheduler.add_noise(encoded, initial_noise, scheduler.timesteps[first : first + 1])
        return Generation(
            conditioning, settings, scheduler, latents, noise, denoised=encoded, first_step=first, steps_done=first
        )

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
        self._threads.adapt()
        self.model.activate_loras(generations[0].settings.style_loras)
        predictions = self._predict_noise(generations)
        for generation in generations:
            settings = generation.settings
            positive = next(predictions)
            if generation.needs_negative:
                generation.guidance_delta = positive - next(predictions)
            predicted = positive
            if settings.guided_at(generation.steps_done) and generation.guidance_delta is not None:
                predicted = _guide(
                    positive, generation.guidance_delta, settings.guidance_scale, settings.guidance_rescale
                )
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

    @torch.no_grad()
    def encode(self, picture: Image.Image, width: int, height: int) -> Tensor:
        """A picture, cut and scaled to ``width`` x ``height``, as latents [1, C, h, w] in float32."""
        fitted = ImageOps.fit(picture.convert("RGB"), (width, height), Image.Resampling.LANCZOS)
        pixels = torch.from_numpy(np.asarray(fitted, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)
        return encode_pixels(self.model.base.vae, pixels.unsqueeze(0).to(self.model.base.hardware.device))

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
        rows = [_Row(one, branch) for one in generations for branch in range(1 + one.needs_negative)]
        shallow = [row for row in rows if row.generation.cached_deep_features_at(row.branch) is not None]
        whole = [row for row in rows if row.generation.cached_deep_features_at(row.branch) is None]
        outputs: dict[_Row, Tensor] = {}
        if whole:
            outputs |= zip(whole, self._whole(whole), strict=True)
        if shallow:
            outputs |= zip(shallow, self._shallow(shallow), strict=True)
        return iter([outputs[row] for row in rows])

    def _whole(self, rows: Sequence[_Row]) -> Sequence[Tensor]:
        """The whole UNet; rows that cache keep their deep features."""
        caching = [row.generation.settings.cache_every > 1 for row in rows]
        if not any(caching):
            return self._forward(rows)
        with deep_features_of(self.model.base.unet) as found:
            outputs = self._forward(rows)
        for row, is_caching, deep in zip(rows, caching, found[0].split(1), strict=True):
            if is_caching:
                row.generation.cached_deep_features[row.branch] = deep.clone()
        return outputs

    def _forward(self, rows: Sequence[_Row]) -> Sequence[Tensor]:
        given = self._unet_inputs(rows)
        output = self.model.base.unet(
            given.sample,
            given.timesteps,
            encoder_hidden_states=given.tokens,
            added_cond_kwargs=given.added,
            return_dict=False,
        )[0]
        return _split(output)

    def _shallow(self, rows: Sequence[_Row]) -> Sequence[Tensor]:
        """The UNet's outer blocks around the deep features that the rows kept."""
        kept = (row.generation.cached_deep_features_at(row.branch) for row in rows)
        deep = torch.cat([one for one in kept if one is not None])
        given = self._unet_inputs(rows)
        return _split(
            shallow_forward(self.model.base.unet, given.sample, given.timesteps, given.tokens, given.added, deep)
        )

    def _unet_inputs(self, rows: Sequence[_Row]) -> _UnetInputs:
        latents, timesteps, time_ids = [], [], []
        for generation in (row.generation for row in rows):
            settings = generation.settings
            timestep = generation.scheduler.timesteps[generation.steps_done]
            latents.append(generation.scheduler.scale_model_input(generation.latents, timestep))
            timesteps.append(timestep)
            time_ids.append([settings.height, settings.width, 0, 0, settings.height, settings.width])
        embeddings = [row.embedding for row in rows]
        hardware = self.model.base.hardware
        return _UnetInputs(
            sample=torch.cat(latents).to(hardware.dtype),
            timesteps=torch.stack(timesteps).to(hardware.device),
            tokens=torch.cat([one.tokens for one in embeddings]).to(hardware.dtype),
            added={
                "text_embeds": torch.cat([one.pooled for one in embeddings]).to(hardware.dtype),
                "time_ids": torch.tensor(time_ids, device=hardware.device, dtype=hardware.dtype),
            },
        )


def _split(output: Tensor) -> Sequence[Tensor]:
    rows: tuple[Tensor, ...] = output.float().split(1)
    return rows


def _guide(positive: Tensor, guidance_delta: Tensor, scale: float, rescale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), rescaled as Lin et al. 2023, equation 16.

    ``towards`` is the positive prediction minus the negative one, so that scale 1 changes nothing.
    """
    guided = positive + (scale - 1) * guidance_delta
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
