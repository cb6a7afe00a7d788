"""The networks that turn pictures and prompts into the features that are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from photomaker_core.errors import ModelError, PhotoError
from photomaker_core.evaluation.measures import mean_direction
from photomaker_core.evaluation.people import Person
from photomaker_core.models.face_embedder import FaceEmbedder

DEFAULT_CLIP: Final = "openai/clip-vit-large-patch14"
DEFAULT_DINO: Final = "facebook/dino-vits16"

PictureEmbedder = Callable[[Sequence[Image.Image]], Tensor]
"""Pictures to features [N, D]; a picture in which there is nothing to embed is a row of NaN."""


class FaceNetwork(FaceEmbedder, Protocol):
    """A face embedder that can also show what it looks at."""

    @property
    def width(self) -> int:
        """The number of values in an embedding."""

    def crop(self, photo: Image.Image) -> Image.Image | None:
        """The largest face, cut out; ``None`` when there is no face."""


@dataclass(frozen=True, slots=True)
class MetricNetworks:
    """One network a column; a column whose network is ``None`` is left out.

    ``perceptual`` features are those whose squared distance is LPIPS; ``attributes`` reads what
    :attr:`EvaluationPrompt.wants` names; ``face_crop`` cuts the face out, or gives ``None`` where there is none.
    """

    text: Callable[[Sequence[str]], Tensor] | None = None
    picture: PictureEmbedder | None = None
    dino: PictureEmbedder | None = None
    face: PictureEmbedder | None = None
    perceptual: PictureEmbedder | None = None
    inception: PictureEmbedder | None = None
    attributes: Callable[[Sequence[Image.Image]], list[dict[str, str]]] | None = None
    face_crop: Callable[[Image.Image], Image.Image | None] | None = None


def known_faces(face: PictureEmbedder, people: Sequence[Person]) -> Tensor:
    """How each person's ID photos look to a face network together: directions [P, D]."""
    return torch.stack([mean_direction(face(person.photos)) for person in people])


def portrait_networks() -> MetricNetworks:
    """The portrait judge in all roles: for nano's pictures, and for them only."""
    from photomaker_core.nano.judge import judge_pixels, load_judge

    judge = load_judge()

    @torch.no_grad()
    def pooled(pictures: Sequence[Image.Image]) -> Tensor:
        return judge.features(judge_pixels(pictures)).pooled

    @torch.no_grad()
    def text(captions: Sequence[str]) -> Tensor:
        return judge.text_embeddings(captions)

    @torch.no_grad()
    def perceptual(pictures: Sequence[Image.Image]) -> Tensor:
        stages = judge.features(judge_pixels(pictures)).stages
        flat = [functional.normalize(stage, dim=1).flatten(2) / stage[0, 0].numel() ** 0.5 for stage in stages]
        return torch.cat([stage.flatten(1) for stage in flat], dim=1)

    return MetricNetworks(
        text=text,
        picture=lambda pictures: judge.picture_embeddings(pooled(pictures)),
        dino=pooled,
        face=lambda pictures: judge.identities(pooled(pictures)),
        perceptual=perceptual,
        inception=pooled,
        attributes=lambda pictures: judge.attributes(pooled(pictures)),
        face_crop=_portrait_face,
    )


def photo_networks(
    *,
    clip: str = DEFAULT_CLIP,
    dino: str = DEFAULT_DINO,
    face: FaceNetwork | None = None,
    lpips: Path | None = None,
    inception: Path | None = None,
    device: torch.device | None = None,
) -> MetricNetworks:
    """The paper's networks. ``clip`` and ``dino`` are hub ids or folders of transformers.

    ``lpips`` and ``inception`` are the TorchScript files ``vgg16.pt`` and ``inception-2015-12-05.pt`` that
    NVIDIA publishes with StyleGAN; without them, and without ``face``, their columns are left out. Raises
    :class:`ModelError` when one cannot be loaded.
    """
    target = device or torch.device("cpu")
    text, picture = _clip(clip, target)
    return MetricNetworks(
        text=text,
        picture=picture,
        dino=_dino(dino, target),
        face=None if face is None else _faces(face),
        perceptual=None if lpips is None else _scripted(lpips, target, {"resize_images": False, "return_lpips": True}),
        inception=None if inception is None else _scripted(inception, target, {"return_features": True}),
        face_crop=None if face is None else face.crop,
    )


def _portrait_face(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.crop((width * 3 // 16, height // 8, width * 13 // 16, height * 3 // 4))


def _clip(source: str, device: torch.device) -> tuple[Callable[[Sequence[str]], Tensor], PictureEmbedder]:
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    try:
        model = CLIPModel.from_pretrained(source).to(device).eval()
        tokenizer, processor = AutoTokenizer.from_pretrained(source), CLIPImageProcessorPil.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ModelError(f"The CLIP model “{source}” cannot be loaded: {error}") from error

    @torch.no_grad()
    def text(captions: Sequence[str]) -> Tensor:
        inputs = tokenizer(list(captions), padding=True, truncation=True, return_tensors="pt").to(device)
        hidden = model.text_model(**inputs).pooler_output
        embeddings: Tensor = model.text_projection(hidden).cpu()
        return embeddings

    @torch.no_grad()
    def picture(pictures: Sequence[Image.Image]) -> Tensor:
        pixels = processor(list(pictures), return_tensors="pt").pixel_values.to(device)
        hidden = model.vision_model(pixel_values=pixels).pooler_output
        embeddings: Tensor = model.visual_projection(hidden).cpu()
        return embeddings

    return text, picture


def _dino(source: str, device: torch.device) -> PictureEmbedder:
    from transformers import AutoModel

    try:
        model = AutoModel.from_pretrained(source).to(device).eval()
    except (OSError, ValueError) as error:
        raise ModelError(f"The DINO model “{source}” cannot be loaded: {error}") from error
    side = int(model.config.image_size)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    @torch.no_grad()
    def embed(pictures: Sequence[Image.Image]) -> Tensor:
        pixels = (_bytes(pictures, side).float() / 255 - mean) / std
        features: Tensor = model(pixel_values=pixels.to(device)).last_hidden_state[:, 0].cpu()
        return features

    return embed


def _faces(embedder: FaceNetwork) -> PictureEmbedder:
    def embed(pictures: Sequence[Image.Image]) -> Tensor:
        rows = []
        for picture in pictures:
            try:
                rows.append(embedder.embed(picture))
            except PhotoError:
                rows.append(torch.full((embedder.width,), torch.nan))
        return torch.stack(rows)

    return embed


def _scripted(path: Path, device: torch.device, options: dict[str, bool]) -> PictureEmbedder:
    try:
        network: Any = torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be loaded as a TorchScript network: {error}") from error

    @torch.no_grad()
    def embed(pictures: Sequence[Image.Image]) -> Tensor:
        features: Tensor = network(_bytes(pictures, 299).to(device), **options).float().cpu()
        return features

    return embed


def _bytes(pictures: Sequence[Image.Image], side_px: int) -> Tensor:
    """uint8 [N, 3, side_px, side_px]."""
    resized = [picture.convert("RGB").resize((side_px, side_px), Image.Resampling.BICUBIC) for picture in pictures]
    return torch.from_numpy(np.stack([np.asarray(one) for one in resized])).permute(0, 3, 1, 2)
