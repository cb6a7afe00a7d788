"""The portrait judge: the network that measures nano's pictures.

It stands where CLIP, DINO, a face recogniser, LPIPS and Inception stand for photographs, and was trained on
drawn portraits only. Called by the evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from photomaker_core.nano.attributes import ATTRIBUTES
from photomaker_core.nano.portraits import SIZE_PX
from photomaker_core.nano.shipped_weights import NANO_BASE, NANO_JUDGE

EMBEDDING_WIDTH: Final = 128
_WIDTHS: Final = (32, 64, 128, 256)
_GROUPS: Final = 8
_LAST_SIDE: Final = 4
_TEXT_LAYERS: Final = 2
_TEXT_LENGTH: Final = 48


@dataclass(frozen=True, slots=True)
class PictureFeatures:
    """The judge's features of N pictures: ``stages``, one [N, C, h, w] per resolution, and ``pooled`` [N, 256]."""

    stages: tuple[Tensor, ...]
    pooled: Tensor


class PortraitJudge(nn.Module):
    """A small residual network with heads for identity, attributes, and agreement with text."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = CLIPTokenizer.from_pretrained(NANO_BASE / "tokenizer")
        self.stem = nn.Conv2d(3, _WIDTHS[0], 4, stride=4)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Identity() if index == 0 else nn.Conv2d(_WIDTHS[index - 1], width, 3, stride=2, padding=1),
                ResidualBlock(width),
            )
            for index, width in enumerate(_WIDTHS)
        )
        # Each channel pools with weights of its own per place: a mouth is told from where mouths are.
        self.pooling = nn.Conv2d(_WIDTHS[-1], _WIDTHS[-1], _LAST_SIDE, groups=_WIDTHS[-1], bias=False)
        nn.init.constant_(self.pooling.weight, _LAST_SIDE**-2)
        self.norm = nn.LayerNorm(_WIDTHS[-1])
        self.identity_head = nn.Linear(_WIDTHS[-1], EMBEDDING_WIDTH)
        self.attribute_heads = nn.ModuleDict(
            {name: nn.Linear(_WIDTHS[-1], len(values)) for name, values in ATTRIBUTES.items()}
        )
        self.picture_head = nn.Linear(_WIDTHS[-1], EMBEDDING_WIDTH)
        self.token_embedding = nn.Embedding(len(self.tokenizer), EMBEDDING_WIDTH)
        self.position_embedding = nn.Parameter(torch.zeros(_TEXT_LENGTH, EMBEDDING_WIDTH))
        self.text_layers = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(EMBEDDING_WIDTH, 4, 2 * EMBEDDING_WIDTH, 0.0, batch_first=True, norm_first=True),
            _TEXT_LAYERS,
            enable_nested_tensor=False,
        )
        self.text_head = nn.Linear(EMBEDDING_WIDTH, EMBEDDING_WIDTH)

    def features(self, pixels: Tensor) -> PictureFeatures:
        """``pixels``: [N, 3, 128, 128] in 0..1."""
        hidden = self.stem(pixels * 2 - 1)
        stages = []
        for stage in self.stages:
            hidden = stage(hidden)
            stages.append(hidden)
        return PictureFeatures(tuple(stages), self.norm(self.pooling(hidden).flatten(1)))

    def identities(self, pooled: Tensor) -> Tensor:
        """Identity embeddings [N, 128] of unit length; the same person's point the same way."""
        return functional.normalize(self.identity_head(pooled), dim=-1)

    def picture_embeddings(self, pooled: Tensor) -> Tensor:
        """Embeddings [N, 128] of unit length in the space of :meth:`text_embeddings`."""
        return functional.normalize(self.picture_head(pooled), dim=-1)

    def text_embeddings(self, captions: Sequence[str]) -> Tensor:
        """Embeddings [N, 128] of unit length in the space of :meth:`picture_embeddings`."""
        encoded = self.tokenizer(
            list(captions),
            padding="max_length",
            truncation=True,
            max_length=_TEXT_LENGTH,
            return_tensors="pt",
            verbose=False,
        )
        return self.prompt_embeddings(encoded.input_ids.to(self.position_embedding.device))

    def prompt_embeddings(self, ids: Tensor) -> Tensor:
        """The same for token ids [N, L] that end with the end token, which may be repeated as padding."""
        ids = ids[:, :_TEXT_LENGTH]
        ends = (ids == self.tokenizer.eos_token_id).int().argmax(1, keepdim=True)
        absent = torch.arange(ids.shape[1], device=ids.device) > ends
        places = self.position_embedding[: ids.shape[1]]
        hidden = self.text_layers(self.token_embedding(ids) + places, src_key_padding_mask=absent)
        present = (~absent).unsqueeze(-1)
        mean = (hidden * present).sum(1) / present.sum(1)
        return functional.normalize(self.text_head(mean), dim=-1)

    @torch.no_grad()
    def attributes(self, pooled: Tensor) -> list[dict[str, str]]:
        """The likeliest value of every attribute of :data:`~photomaker_core.nano.attributes.ATTRIBUTES`."""
        chosen = {name: head(pooled).argmax(-1).tolist() for name, head in self.attribute_heads.items()}
        return [
            {name: ATTRIBUTES[name][indices[row]] for name, indices in chosen.items()} for row in range(len(pooled))
        ]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a skip connection, each after group norm and SiLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        residual: Tensor = self.layers(hidden)
        return hidden + residual


def judge_pixels(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures of any size as the judge takes them, [N, 3, 128, 128] in 0..1."""
    resized = [picture.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC) for picture in pictures]
    return torch.from_numpy(np.stack([np.asarray(one) for one in resized])).permute(0, 3, 1, 2).float() / 255


def load_judge(path: Path = NANO_JUDGE) -> PortraitJudge:
    judge = PortraitJudge()
    judge.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return judge.requires_grad_(False).eval()
