"""Captions by BLIP (Li et al. 2022) and BLIP-2 (Li et al. 2023) of transformers, with the operator's weights.

BLIP-2 in sampling mode is the paper's captioner.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import torch
from PIL import Image

from photomaker_core.errors import ModelError

_MOST_TOKENS: Final = 40
_TOP_P: Final = 0.9
_SEEDS: Final = 2**31


class _SampledCaptions:
    """Samples from a vision-language model; the seed alone decides."""

    def __init__(self, model: str, processor: Any, network: Any, device: str, prompt: str | None) -> None:
        try:
            self._processor = processor.from_pretrained(model)
            self._network = network.from_pretrained(model).to(device).eval()
        except (OSError, ValueError) as error:
            raise ModelError(f"The captioning model “{model}” cannot be loaded: {error}") from error
        self._device, self._prompt = device, prompt

    @torch.no_grad()
    def caption(self, picture: Image.Image, rng: Random) -> str:
        inputs = self._processor(images=picture, text=self._prompt, return_tensors="pt").to(self._device)
        with torch.random.fork_rng():
            torch.manual_seed(rng.randrange(_SEEDS))
            tokens = self._network.generate(**inputs, do_sample=True, top_p=_TOP_P, max_new_tokens=_MOST_TOKENS)
        return " ".join(str(self._processor.batch_decode(tokens, skip_special_tokens=True)[0]).split())


class BlipCaptioner(_SampledCaptions):
    """``model`` is a folder or hub id, ``prompt`` how each caption begins."""

    def __init__(self, model: str, prompt: str | None = None, device: str = "cpu") -> None:
        from transformers import BlipForConditionalGeneration, BlipProcessor

        super().__init__(model, BlipProcessor, BlipForConditionalGeneration, device, prompt)


class Blip2Captioner(_SampledCaptions):
    """``model`` is a folder or hub id, ``prompt`` how each caption begins."""

    def __init__(self, model: str, prompt: str | None = None, device: str = "cpu") -> None:
        from transformers import Blip2ForConditionalGeneration, Blip2Processor

        super().__init__(model, Blip2Processor, Blip2ForConditionalGeneration, device, prompt)
