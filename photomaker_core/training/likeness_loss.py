"""The likeness loss: what is being drawn must look like the person to a face recogniser."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from photomaker_core.nano.face_recogniser import FaceRecogniser, face_crops
from photomaker_core.training.diffusion import Denoised, uploaded
from photomaker_core.training.pictures import Example
from photomaker_core.training.portrait_latents import PortraitLatents


class LikenessLoss:
    """``weight`` times one minus the cosine between the embeddings of drawn faces and of the target picture's.

    Faces are cut out of the picture that a prediction amounts to, decoded. Each counts by the share of the picture
    that is left in the noisy latents: from noise alone nobody can be drawn. An addition to the paper's recipe, as
    PortraitBooth (arXiv 2312.06354, 3.3) has it. The first ``most_pictures`` of a batch are looked at.
    """

    def __init__(
        self,
        recogniser: FaceRecogniser,
        vae: AutoencoderKL,
        portraits: PortraitLatents,
        weight: float,
        most_pictures: int = 128,
    ) -> None:
        self._recogniser = recogniser.to(portraits.device)
        self._vae, self._portraits = vae, portraits
        self._weight, self._most_pictures = weight, most_pictures

    def __call__(self, shown: Denoised, examples: list[Example], meant: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and the mean cosine of ``examples``, in whose pictures the people ``meant``, bool [B, P], count."""
        examples, device = examples[: self._most_pictures], self._portraits.device
        latents = shown.originals()[: len(examples)] / self._vae.config.scaling_factor
        pictures = self._vae.decode(latents, return_dict=False)[0].float() / 2 + 0.5
        faces = self._portraits.faces(examples)
        rows, people = (meant[: len(examples)] & faces.are_seen).nonzero(as_tuple=True)
        ellipses = uploaded(faces.ellipses[rows, people], device)
        rows = uploaded(rows, device)
        with torch.no_grad():
            wanted = self._recogniser(face_crops(self._portraits.pixels(examples), rows, ellipses))
        drawn = self._recogniser(face_crops(pictures, rows, ellipses))
        cosines = functional.cosine_similarity(drawn.float(), wanted.float())
        weights = shown.kept[: len(examples)][rows]
        loss = (weights * (1 - cosines)).sum() / weights.sum()
        return self._weight * loss, cosines.detach().mean()
