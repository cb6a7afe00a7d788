"""The face stage: a recogniser of drawn faces, which the adapter's likeness loss asks."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor, nn

from photomaker_core.nano.face_recogniser import EMBEDDING_WIDTH, FaceRecogniser, face_crops
from photomaker_core.training.cosface import cosface
from photomaker_core.training.diffusion import generator_on, uploaded
from photomaker_core.training.jitter import jittered_pixels
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.portrait_latents import PortraitLatents
from photomaker_core.training.stage import Figures

FACES_FILE: Final = "faces.safetensors"
_BLUR: Final = 4


class FaceStage:
    """CosFace (Wang et al. 2018) on heads cut out of pictures of one to three people.

    The cuts are moved and scaled by some hundredths, and the pictures jittered, so that the recogniser also knows
    people in what a UNet predicts from noise.
    """

    def __init__(
        self,
        recogniser: FaceRecogniser,
        vae: AutoencoderKL,
        portraits: PortraitLatents,
        learning_rate: float,
        *,
        through_vae: float = 0.25,
    ) -> None:
        device = portraits.device
        self._recogniser, self._portraits = recogniser.to(device), portraits
        self._vae = vae.to(device).requires_grad_(False)
        self._learning_rate, self._through_vae = learning_rate, through_vae
        people = portraits.portraits.identity_count
        self._people = nn.Parameter(torch.randn(people, EMBEDDING_WIDTH, device=device) * 0.02)

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup([*self._recogniser.parameters(), self._people], self._learning_rate)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        rng = Random(generator.initial_seed())
        device = self._portraits.device
        local = generator_on(device, generator)
        examples = self._portraits.random_examples(batch_size, rng)
        pixels = jittered_pixels(self._portraits, examples, self._vae, self._through_vae, rng, local, _BLUR)
        faces = self._portraits.faces(examples)
        known = (faces.people >= 0) & (faces.people < len(self._people))
        chosen = torch.tensor([rng.choice(row.nonzero().flatten().tolist()) for row in known])
        ellipses = uploaded(faces.ellipses[torch.arange(batch_size), chosen], device)
        people = uploaded(faces.people[torch.arange(batch_size), chosen].long(), device)
        moves = torch.rand(ellipses.shape, generator=local, device=device) - 0.5
        x, y, rx, ry = ellipses.unbind(1)
        moved = torch.stack(
            [x + 0.3 * rx * moves[:, 0], y + 0.3 * ry * moves[:, 1], rx, ry * (1 + 0.2 * moves[:, 2])], 1
        )
        found = self._recogniser(face_crops(pixels, torch.arange(batch_size, device=device), moved))
        loss, accuracy = cosface(found, self._people, people)
        return loss, {"identity": accuracy}

    def sample(self, path: Path) -> None:
        """There is no picture to show; the log holds the accuracy."""

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.to(torch.float16).contiguous() for name, value in self._recogniser.state_dict().items()}
        save_file(state, folder / FACES_FILE)
