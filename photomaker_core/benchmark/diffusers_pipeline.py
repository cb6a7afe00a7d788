"""diffusers' own SDXL pipeline as the benchmark sees it: prompts without a person, one call after the other."""

from __future__ import annotations

from typing import Any

import torch

from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS, Publish, QueueServer, Request
from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD
from photomaker_core.sampling.generation import GenerationSettings


class PipelineServer(QueueServer):
    """A request is one call of ``pipeline``, a StableDiffusionXLPipeline."""

    def __init__(self, pipeline: Any, settings: GenerationSettings) -> None:
        super().__init__()
        self._pipeline, self._settings = pipeline, settings

    def draw(self, request: Request, publish: Publish) -> None:
        _draw(self._pipeline, self._settings, [request.prompt], [request.negative], [request.seed])
        publish("finished")


def draw_together(pipeline: Any, settings: GenerationSettings, pictures: int) -> None:
    """Draw so many prompts in one call, as somebody would who knows them all beforehand."""
    prompts = [PROMPTS[number % len(PROMPTS)] for number in range(pictures)]
    _draw(pipeline, settings, prompts, [NEGATIVE] * pictures, list(range(pictures)))


def _draw(
    pipeline: Any, settings: GenerationSettings, prompts: list[str], negatives: list[str], seeds: list[int]
) -> None:
    pipeline(
        prompt=[prompt.replace(f" {DEFAULT_TRIGGER_WORD}", "") for prompt in prompts],
        negative_prompt=negatives,
        width=settings.width,
        height=settings.height,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
    )
