"""The judge stage: the portrait judge learns identities, attributes and captions from drawn portraits."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Final

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from photomaker_core.nano.attributes import ATTRIBUTES
from photomaker_core.nano.judge import EMBEDDING_WIDTH, PortraitJudge
from photomaker_core.nano.portrait_set import UNSEEN
from photomaker_core.training.cosface import cosface
from photomaker_core.training.diffusion import generator_on, uploaded
from photomaker_core.training.jitter import jittered_pixels
from photomaker_core.training.optimization import ParameterGroup
from photomaker_core.training.pictures import Example
from photomaker_core.training.portrait_latents import PortraitLatents
from photomaker_core.training.stage import Figures

JUDGE_FILE: Final = "judge.safetensors"
_ATTRIBUTE_WEIGHT: Final = 0.5
_WEIGHTS: Final = {"expression": 4.0}
_PEOPLE_AT_ONCE: Final = 64
_PICTURES_A_PERSON: Final = 2


class JudgeStage:
    """CosFace on identities (Wang et al. 2018), cross-entropy on attributes, CLIP's loss on captions.

    A share ``through_vae`` of each batch is shown as the nano VAE decodes it, and the pictures are jittered in
    sharpness and light, so that the judge measures drawn and generated pictures alike. A judge that ``goes_on`` from
    earlier training finds its people where it sees them already.
    """

    def __init__(
        self,
        judge: PortraitJudge,
        vae: AutoencoderKL,
        portraits: PortraitLatents,
        learning_rate: float,
        *,
        through_vae: float = 0.25,
        goes_on: bool = False,
    ) -> None:
        device = portraits.device
        self._judge, self._vae, self._portraits = judge.to(device), vae.to(device).requires_grad_(False), portraits
        self._learning_rate, self._through_vae = learning_rate, through_vae
        self._people = nn.Parameter(
            self._mean_identities()
            if goes_on
            else torch.randn(portraits.portraits.identity_count, EMBEDDING_WIDTH, device=device) * 0.02
        )
        self._log_temperature = nn.Parameter(torch.tensor(math.log(10.0), device=device))

    def parameter_groups(self) -> list[ParameterGroup]:
        parameters = [*self._judge.parameters(), self._people, self._log_temperature]
        return [ParameterGroup(parameters, self._learning_rate)]

    def loss(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Figures]:
        rng = Random(generator.initial_seed())
        examples = self._portraits.random_single_people(batch_size, rng)
        local = generator_on(self._portraits.device, generator)
        pixels = jittered_pixels(self._portraits, examples, self._vae, self._through_vae, rng, local)
        pooled = self._judge.features(pixels).pooled
        losses, figures = self._attribute_losses(pooled, examples)
        identity_loss, figures["identity"] = self._identity_loss(pooled, examples)
        text_loss, figures["text"] = self._text_loss(pooled, self._portraits.captions(examples, rng))
        return identity_loss + text_loss + _ATTRIBUTE_WEIGHT * losses, figures

    def sample(self, path: Path) -> None:
        """There is no picture to show; the log holds the accuracies."""

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.to(torch.float16).contiguous() for name, value in self._judge.state_dict().items()}
        save_file(state, folder / JUDGE_FILE)

    @torch.no_grad()
    def _mean_identities(self) -> Tensor:
        """Each person's embedding, [people, width], averaged over their first pictures."""
        found = []
        for start in range(0, self._portraits.portraits.identity_count, _PEOPLE_AT_ONCE):
            people = range(start, min(start + _PEOPLE_AT_ONCE, self._portraits.portraits.identity_count))
            examples = [Example(person, picture) for person in people for picture in range(_PICTURES_A_PERSON)]
            pooled = self._judge.features(self._portraits.pixels(examples)).pooled
            found.append(self._judge.identities(pooled).view(len(people), _PICTURES_A_PERSON, -1).mean(1))
        return torch.cat(found)

    def _identity_loss(self, pooled: Tensor, examples: list[Example]) -> tuple[Tensor, Tensor]:
        people = uploaded(torch.tensor([example.identity for example in examples]), pooled.device)
        return cosface(self._judge.identities(pooled), self._people, people)

    def _attribute_losses(self, pooled: Tensor, examples: list[Example]) -> tuple[Tensor, dict[str, Tensor | float]]:
        shown = self._portraits.attributes(examples)
        total, figures = pooled.new_zeros(()), {}
        for place, name in enumerate(ATTRIBUTES):
            wanted = shown[:, place]
            seen = wanted != UNSEEN
            logits = self._judge.attribute_heads[name](pooled).float()
            losses = functional.cross_entropy(logits, wanted, ignore_index=UNSEEN, reduction="sum")
            total = total + _WEIGHTS.get(name, 1.0) * losses / seen.sum().clamp(min=1)
            figures[name] = ((logits.argmax(-1) == wanted) & seen).sum() / seen.sum()
        return total, figures

    def _text_loss(self, pooled: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        temperature = self._log_temperature.exp().clamp(max=100)
        similarity = (
            temperature * self._judge.picture_embeddings(pooled).float() @ self._judge.prompt_embeddings(prompts).T
        )
        own = torch.arange(len(prompts), device=pooled.device)
        accuracy = (similarity.argmax(-1) == own).float().mean()
        return (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2, accuracy
