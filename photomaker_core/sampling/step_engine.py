"""The step engine: many generations, one denoising step at a time.

``condition`` once per request, ``begin``, then ``step`` any mixture of compatible generations until
each is done, then ``finish``. The GPU thread is its only caller in the bot; a script can use it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from photomaker_core.conditioning.stacking import Conditioning, condition
from photomaker_core.cpu_threads import CpuThreads
from photomaker_core.errors import SettingsError
from photomaker_core.images.pixels import signed_pixels
from photomaker_core.images.preprocessing import tensor_to_images
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models.deep_cache import deep_features_of, shallow_forward
from photomaker_core.models.lora_layers import LoraWeights
from photomaker_core.models.regional_attention import (
    attention_grids,
    attention_to_tokens,
    joined_masks,
    masked_attention,
    padded_tokens,
)
from photomaker_core.models.vae import Decoding, broken_picture, decode_in_parts, encode_pixels
from photomaker_core.sampling.generation import Branch, Generation, GenerationSettings, Img2ImgInit
from photomaker_core.sampling.latent_preview import LatentColours
from photomaker_core.sampling.regions import Regions
from photomaker_core.sampling.schedulers import make_scheduler, step_options


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a UNet forward."""

    generation: Generation
    branch: Branch


@dataclass(frozen=True, slots=True)
class _Prediction:
    """The UNet's output [1, C, h, w] for one generation; ``negative`` where its step computes that branch."""

    positive: Tensor
    negative: Tensor | None


@dataclass(frozen=True, slots=True)
class _UnetInputs:
    """The UNet's arguments: [B, C, h, w], [B], [B, L, D], and SDXL's pooled text and time ids.

    ``lengths`` are those of the rows' embeddings before they were padded to L. ``masks`` hold what cross-attention adds
    [B, Q or 1, L] on each grid of Q positions; empty where it adds nothing.
    """

    sample: Tensor
    timesteps: Tensor
    tokens: Tensor
    added: dict[str, Tensor]
    lengths: Sequence[int]
    masks: dict[int, Tensor]


class StepEngine:
    """Runs a :class:`PhotoMaker`'s generations in steps. Not thread-safe: one thread owns it."""

    def __init__(self, model: PhotoMaker) -> None:
        self.model = model
        self._colours: LatentColours | None = None
        self._threads = CpuThreads(torch.get_num_threads(), torch.set_num_threads)

    def condition(
        self,
        prompt: str,
        negative_prompt: str | None,
        id_features: Tensor | Sequence[Tensor] | None,
        style_loras: LoraWeights = (),
    ) -> Conditioning:
        """Embed a request once.

        ``id_features`` is a stack [N, T, D], several of them in the order of the prompt's triggers, or ``None`` for a
        text-only picture.

        ``style_loras`` are those that the pictures will be drawn with: they may change the text encoders too. Raises
        :class:`~photomaker_core.errors.PromptError`, and :class:`~photomaker_core.errors.SettingsError` for an
        unknown LoRA.
        """
        self._require_known(style_loras)
        return condition(
            self.model.text_encoders_under(style_loras),
            self.model.id_encoder,
            prompt,
            negative_prompt,
            self.model.trigger_word,
            id_features,
            zeros_for_empty_negative=self.model.base.zeros_for_empty_negative,
            max_chunks=self.model.max_chunks,
        )

    def begin(
        self,
        conditioning: Conditioning,
        settings: GenerationSettings,
        initial_noise: Tensor | None = None,
        start: Img2ImgInit | None = None,
        regions: Regions | None = None,
    ) -> Generation:
        """Start a picture from its seed, or from given standard-normal ``initial_noise`` [1, C, h, w].

        With a ``start`` the noise is laid over that picture, and the schedule is entered where its strength says. Steps
        are not cached where the memory plan moves the UNet about: caching calls its blocks, which must be in one place.
        ``regions`` say where the prompt's people are; several people without any are where the text-only steps put
        their class words (:mod:`photomaker_core.sampling.regions`).

        Raises :class:`~photomaker_core.errors.SettingsError` for settings that cannot be drawn or regions for another
        number of people, and ``ValueError`` where the prompt was embedded under other LoRAs than those of ``settings``.
        """
        base = self.model.base
        self._require_known(settings.style_loras)
        if conditioning.text_loras != self.model.text_encoders_under(settings.style_loras).effective_loras:
            raise ValueError("the prompt was embedded under other style LoRAs than the picture is to be drawn with")
        if regions is not None and regions.people != len(conditioning.people):
            raise SettingsError(
                "There are regions for {regions} people, but the prompt has {people} with photos.",
                regions=regions.people,
                people=len(conditioning.people),
            )
        if self.model.plan.offload != "none":
            settings = replace(settings, cache_every=1)
        noise = torch.Generator("cpu").manual_seed(settings.seed)
        if initial_noise is None:
            scale = base.vae_scale
            shape = (1, int(base.unet.config.in_channels), settings.height // scale, settings.width // scale)
            initial_noise = torch.randn(shape, generator=noise)
        scheduler: Any = make_scheduler(settings.scheduler, base.pipeline.scheduler.config)
        scheduler.set_timesteps(settings.steps, device=base.hardware.device)
        options = step_options(scheduler, noise)
        initial_noise = initial_noise.to(base.hardware.device, torch.float32)
        time_ids = torch.tensor(
            [[settings.height, settings.width, 0, 0, settings.height, settings.width]],
            device=base.hardware.device,
            dtype=base.hardware.dtype,
        )
        if start is None:
            latents = initial_noise * scheduler.init_noise_sigma
            return Generation(conditioning, settings, scheduler, latents, latents, time_ids, options, regions=regions)
        first = start.first_step(len(scheduler.timesteps))
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        encoded = self.encode(start.picture, settings.width, settings.height)
        latents = scheduler.add_noise(encoded, initial_noise, scheduler.timesteps[first : first + 1])
        return Generation(
            conditioning,
            settings,
            scheduler,
            latents,
            encoded,
            time_ids,
            options,
            first_step=first,
            steps_done=first,
            regions=regions,
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
        for generation, prediction in zip(generations, self._predict(generations), strict=True):
            guided = _guided(generation, prediction)
            timestep = generation.scheduler.timesteps[generation.steps_done]
            output = generation.scheduler.step(guided, timestep, generation.latents, **generation.step_options)
            generation.latents = output.prev_sample
            generation.denoised = _denoised(generation.scheduler, output)
            generation.steps_done += 1

    def _require_known(self, style_loras: LoraWeights) -> None:
        unknown = [name for name, _ in style_loras if name not in self.model.style_loras]
        if unknown:
            raise SettingsError("No style LoRA is loaded under the name “{name}”.", name=unknown[0])

    def finish(self, generation: Generation) -> Image.Image:
        """Decode a generation into its picture; one that is not done gives a preview of where it is.

        Raises :class:`~photomaker_core.errors.DrawingError` for numbers out of bounds or a picture of one colour.
        """
        return self.picture(generation, self.decode(generation.latents))

    def picture(self, generation: Generation, pixels: Tensor) -> Image.Image:
        """The picture of decoded ``pixels`` [1, 3, H, W]; raises as :meth:`finish` does."""
        picture = tensor_to_images(pixels)[0]
        if generation.is_done and generation.first_step == 0 and _is_of_one_colour(picture):
            raise broken_picture()
        return picture

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
        pixels = signed_pixels(np.asarray(fitted)[None])
        return encode_pixels(self.model.base.vae, pixels.to(self.model.base.hardware.device))

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
        """Decode in parts, between which other work can be done; each ``next`` runs one."""
        return decode_in_parts(self.model.base.vae, latents)

    def synchronize(self) -> None:
        """Wait for the card to have done what it was given, so that a clock counts its work."""
        device = self.model.base.hardware.device
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def _predict(self, generations: Sequence[Generation]) -> Sequence[_Prediction]:
        """Every generation's prediction: one row of the UNet for each branch that its step computes."""
        rows = [_Row(generation, branch) for generation in generations for branch in generation.branches]
        shallow = [row for row in rows if row.generation.cached_deep_features_at(row.branch) is not None]
        whole = [row for row in rows if row.generation.cached_deep_features_at(row.branch) is None]
        outputs: dict[_Row, Tensor] = {}
        if whole:
            outputs |= zip(whole, self._whole(whole), strict=True)
        if shallow:
            outputs |= zip(shallow, self._shallow(shallow), strict=True)
        return [
            _Prediction(outputs[_Row(one, Branch.POSITIVE)], outputs.get(_Row(one, Branch.NEGATIVE)))
            for one in generations
        ]

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
        unet, given = self.model.base.unet, self._unet_inputs(rows)
        watched = {
            index: spans
            for index, row in enumerate(rows)
            if row.branch is Branch.POSITIVE and (spans := row.generation.spans_to_watch)
        }
        with ExitStack() as around:
            if given.masks:
                around.enter_context(masked_attention(unet, given.masks))
            attention: Mapping[int, Tensor] = {}
            if watched:
                attention = around.enter_context(attention_to_tokens(unet, watched, given.lengths))
            output = unet(
                given.sample,
                given.timesteps,
                encoder_hidden_states=given.tokens,
                added_cond_kwargs=given.added,
                return_dict=False,
            )[0]
        for index, paid in attention.items():
            rows[index].generation.watch(paid)
        return _split(output)

    def _shallow(self, rows: Sequence[_Row]) -> Sequence[Tensor]:
        """The UNet's outer blocks around the deep features that the rows kept."""
        kept = (row.generation.cached_deep_features_at(row.branch) for row in rows)
        deep = torch.cat([one for one in kept if one is not None])
        unet, given = self.model.base.unet, self._unet_inputs(rows)
        with ExitStack() as around:
            if given.masks:
                around.enter_context(masked_attention(unet, given.masks))
            return _split(shallow_forward(unet, given.sample, given.timesteps, given.tokens, given.added, deep))

    def _unet_inputs(self, rows: Sequence[_Row]) -> _UnetInputs:
        latents, timesteps = [], []
        for generation in (row.generation for row in rows):
            timestep = generation.scheduler.timesteps[generation.steps_done]
            latents.append(generation.scheduler.scale_model_input(generation.latents, timestep))
            timesteps.append(timestep)
        embeddings = [row.generation.embedding(row.branch) for row in rows]
        lengths = [one.tokens.shape[1] for one in embeddings]
        hardware = self.model.base.hardware
        return _UnetInputs(
            sample=torch.cat(latents).to(hardware.dtype),
            timesteps=torch.stack(timesteps).to(hardware.device),
            tokens=padded_tokens([one.tokens for one in embeddings]).to(hardware.dtype),
            added={
                "text_embeds": torch.cat([one.pooled for one in embeddings]).to(hardware.dtype),
                "time_ids": torch.cat([row.generation.time_ids for row in rows]),
            },
            lengths=lengths,
            masks=self._masks(rows, lengths),
        )

    def _masks(self, rows: Sequence[_Row], lengths: Sequence[int]) -> dict[int, Tensor]:
        """What cross-attention adds for the rows, by the grid's positions; empty where all see all their tokens."""
        base = self.model.base
        grids = attention_grids(base.unet, *rows[0].generation.latents.shape[-2:])
        own = [row.generation.masks(row.branch, grids) for row in rows]
        if all(masks is None for masks in own) and min(lengths) == max(lengths):
            return {}
        like = torch.empty(0, device=base.hardware.device, dtype=base.hardware.dtype)
        joined = {
            height * width: joined_masks(
                [None if masks is None else masks[height, width] for masks in own], lengths, like
            )
            for height, width in grids
        }
        return {positions: mask for positions, mask in joined.items() if mask is not None}


def _split(output: Tensor) -> Sequence[Tensor]:
    rows: tuple[Tensor, ...] = output.float().split(1)
    return rows


def _guided(generation: Generation, prediction: _Prediction) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), rescaled as Lin et al. 2023, equation 16.

    The guidance delta is the positive prediction minus the negative one, so that scale 1 changes nothing; a step
    without a negative prediction takes the last one's.
    """
    settings, positive = generation.settings, prediction.positive
    if prediction.negative is not None:
        generation.guidance_delta = positive - prediction.negative
    if not settings.guided_at(generation.steps_done) or generation.guidance_delta is None:
        return positive
    guided = positive + (settings.guidance_scale - 1) * generation.guidance_delta
    rescale = settings.guidance_rescale
    if rescale <= 0:
        return guided
    axes = list(range(1, guided.ndim))
    matched = guided * (positive.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True))
    return rescale * matched + (1 - rescale) * guided


def _denoised(scheduler: Any, output: Any) -> Tensor:
    """The scheduler's estimate of the latents without noise, by whichever name it has there."""
    for name in ("pred_original_sample", "denoised"):
        found: Tensor | None = getattr(output, name, None)
        if found is not None:
            return found
    estimates = [one for one in getattr(scheduler, "model_outputs", ()) if one is not None]
    latest: Tensor = estimates[-1] if estimates else output.prev_sample
    return latest


def _is_of_one_colour(picture: Image.Image) -> bool:
    return all(low == high for low, high in picture.getextrema())  # type: ignore[misc]
