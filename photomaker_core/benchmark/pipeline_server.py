"""The baseline: what people run today, a pipeline behind a queue.

One job at a time from photos to picture, all work anew for each: ID photos, prompt, negative prompt, every step
guided. Written from the published semantics and as good as that design gets: no gradients, no needless copies,
a preview at every step.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from photomaker_core.benchmark.workload import Publish, QueueServer, Request
from photomaker_core.images.preprocessing import tensor_to_images
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.schedulers import make_scheduler
from photomaker_core.sampling.step_engine import StepEngine


class PlainServer(QueueServer):
    """A whole job at a time, through the library's own parts."""

    def __init__(self, engine: StepEngine, people: list[list[Image.Image]], settings: GenerationSettings) -> None:
        super().__init__()
        self._engine, self._people, self._settings = engine, people, settings

    @torch.no_grad()
    def draw(self, request: Request, publish: Publish) -> Image.Image:
        """The reference's ``__call__`` for one picture, with its progress callback."""
        model, settings = self._engine.model, self._settings
        base, hardware = model.base, model.base.hardware
        base.text.clear()
        features = model.encode_photos(self._people[request.person])
        conditioning = self._engine.condition(request.prompt, request.negative, features)
        scheduler = make_scheduler(settings.scheduler, base.pipeline.scheduler.config)
        scheduler.set_timesteps(settings.steps, device=hardware.device)
        shape = (1, base.unet.config.in_channels, settings.height // base.vae_scale, settings.width // base.vae_scale)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(request.seed))
        latents: Tensor = noise.to(hardware.device, torch.float32) * scheduler.init_noise_sigma
        sizes = [settings.height, settings.width, 0, 0, settings.height, settings.width]
        time_ids = torch.tensor([sizes, sizes], device=hardware.device, dtype=hardware.dtype)
        for index, timestep in enumerate(scheduler.timesteps):
            positive, negative = conditioning.at_step(index, settings.merge_step), conditioning.negative
            predicted = base.unet(
                scheduler.scale_model_input(torch.cat([latents] * 2), timestep).to(hardware.dtype),
                timestep,
                encoder_hidden_states=torch.cat([negative.tokens, positive.tokens]).to(hardware.dtype),
                added_cond_kwargs={
                    "text_embeds": torch.cat([negative.pooled, positive.pooled]).to(hardware.dtype),
                    "time_ids": time_ids,
                },
                return_dict=False,
            )[0].float()
            negative, positive = predicted.chunk(2)
            guided = negative + settings.guidance_scale * (positive - negative)
            latents = scheduler.step(guided, timestep, latents, return_dict=False)[0]
            publish("preview")
        picture = tensor_to_images(self._engine.decode(latents))[0]
        publish("finished")
        return picture
