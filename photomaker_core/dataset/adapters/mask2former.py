"""Person masks by Mask2Former (Cheng et al. 2022) of transformers, with the operator's weights: as in the paper."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from photomaker_core.errors import ModelError
from photomaker_core.models.face_recognition import Box

_MIN_SCORE: Final = 0.5


class Mask2FormerSegmenter:
    """``model`` is a folder or hub id of an instance segmentation that knows the class ``label``."""

    def __init__(self, model: str, label: str = "person", device: str = "cpu") -> None:
        from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessorPil

        try:
            self._processor: Any = Mask2FormerImageProcessorPil.from_pretrained(model)
            self._network: Any = Mask2FormerForUniversalSegmentation.from_pretrained(model).to(device).eval()
        except (OSError, ValueError) as error:
            raise ModelError(f"The segmenter “{model}” cannot be loaded: {error}") from error
        labels = {number for number, name in self._network.config.id2label.items() if name == label}
        if not labels:
            raise ModelError(f"The segmenter “{model}” does not know the class “{label}”.")
        self._labels, self._device = labels, device

    @torch.no_grad()
    def segment(self, picture: Image.Image, face: Box) -> list[NDArray[np.bool_]]:
        inputs = self._processor(images=picture, return_tensors="pt").to(self._device)
        result = self._processor.post_process_instance_segmentation(
            self._network(**inputs), threshold=_MIN_SCORE, target_sizes=[(picture.height, picture.width)]
        )[0]
        segments = sorted(result["segments_info"], key=lambda one: -float(one["score"]))
        ids = result["segmentation"]
        return [
            (ids == one["id"]).cpu().numpy().astype(np.bool_) for one in segments if one["label_id"] in self._labels
        ]
