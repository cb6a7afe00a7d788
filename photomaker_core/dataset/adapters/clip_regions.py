"""Compares regions and class words by CLIP (Radford et al. 2021) of transformers, with the operator's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from photomaker_core.errors import ModelError


class ClipRegionScorer:
    """``model`` is a folder or hub id."""

    def __init__(self, model: str, device: str = "cpu") -> None:
        from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

        try:
            self._network: Any = CLIPModel.from_pretrained(model).to(device).eval()
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
            self._processor: Any = CLIPImageProcessorPil.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise ModelError(f"The CLIP model “{model}” cannot be loaded: {error}") from error
        self._device = device

    @torch.no_grad()
    def region_similarities(self, region: Image.Image, phrases: Sequence[str]) -> list[float]:
        pixels = self._processor([region], return_tensors="pt").pixel_values.to(self._device)
        hidden = self._network.vision_model(pixel_values=pixels).pooler_output
        picture = functional.normalize(self._network.visual_projection(hidden), dim=-1)
        return [float(one) for one in self._texts(phrases) @ picture[0]]

    @torch.no_grad()
    def label_similarities(self, words: Sequence[str], label: str) -> list[float]:
        texts = self._texts([label, *words])
        return [float(one) for one in texts[1:] @ texts[0]]

    def _texts(self, texts: Sequence[str]) -> Tensor:
        inputs = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self._device)
        hidden = self._network.text_model(**inputs).pooler_output
        return functional.normalize(self._network.text_projection(hidden), dim=-1)
