"""The recogniser of drawn faces that nano's adapter is trained with. The judge, which measures, is another network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from photomaker_core.nano.judge import ResidualBlock

FACE_SIDE_PX: Final = 64
EMBEDDING_WIDTH: Final = 128
_WIDTHS: Final = (48, 96, 192, 256)
_MARGIN: Final = 1.6


class FaceRecogniser(nn.Module):
    """A small residual network from a head to its person."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _WIDTHS[0], 4, stride=2, padding=1)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Identity() if index == 0 else nn.Conv2d(_WIDTHS[index - 1], width, 4, stride=2, padding=1),
                    ResidualBlock(width),
                )
                for index, width in enumerate(_WIDTHS)
            )
        )
        last_side = FACE_SIDE_PX // 2 ** len(_WIDTHS)
        self.norm = nn.LayerNorm(_WIDTHS[-1] * last_side**2)
        self.head = nn.Linear(_WIDTHS[-1] * last_side**2, EMBEDDING_WIDTH)

    def forward(self, faces: Tensor) -> Tensor:
        """Embeddings [N, 128] of unit length of ``faces`` [N, 3, 64, 64] in 0..1, as :func:`face_crops` cuts them."""
        hidden = self.stages(self.stem(faces * 2 - 1))
        return functional.normalize(self.head(self.norm(hidden.flatten(1))), dim=-1)


def face_crops(pictures: Tensor, rows: Tensor, ellipses: Tensor) -> Tensor:
    """Heads cut out of ``pictures`` [B, 3, S, S], differentiably: [N, 3, 64, 64].

    Head ``n`` lies in picture ``rows[n]``; ``ellipses`` [N, 4] are the faces' (x, y, rx, ry) in pixels. The cut is a
    square around the face with room for hair and chin; what lies beyond the picture repeats its border.
    """
    side = pictures.shape[-1]
    x, y, _, ry = ellipses.unbind(1)
    middle = torch.stack([x, y], 1) * 2 / side - 1
    half = (_MARGIN * ry * 2 / side)[:, None, None, None]
    steps = (torch.arange(FACE_SIDE_PX, device=pictures.device) + 0.5) * 2 / FACE_SIDE_PX - 1
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    grid = torch.stack([across, down], -1)[None] * half + middle[:, None, None]
    return functional.grid_sample(
        pictures[rows], grid.to(pictures.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )


def load_face_recogniser(path: Path) -> FaceRecogniser:
    recogniser = FaceRecogniser()
    recogniser.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return recogniser.requires_grad_(False).eval()
