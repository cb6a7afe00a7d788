"""The ID encoder of PhotoMaker V1 and V2: photos to ID features, and their fusion with the text.

Every width is read from the adapter's weights. Called by the adapter loader and the conditioning, and
by the PhotoMaker training stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

Version = Literal["v1", "v2"]

FACE_EMBEDDING_WIDTH: Final = 512


class MLP(nn.Module):
    """LayerNorm, Linear, GELU, Linear; with the input added where ``residual``."""

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int, residual: bool) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(in_dim)
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(functional.gelu(self.fc1(self.layernorm(x))))
        return x + y if self.residual else y


class FuseModule(nn.Module):
    """Fuses one class token with one ID feature (PhotoMaker, section 3.1.2).

    One that was trained without seeing the class word, for the paper's ablation, must draw so too.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1 = MLP(2 * width, width, width, residual=False)
        self.mlp2 = MLP(width, width, width, residual=True)
        self.layer_norm = nn.LayerNorm(width)
        self.sees_class_word = True

    def forward(self, class_tokens: Tensor, id_features: Tensor) -> Tensor:
        """``class_tokens`` and ``id_features``: [M, D]; returns the stacked ID embedding [M, D]."""
        if not self.sees_class_word:
            class_tokens = torch.zeros_like(class_tokens)
        fused = self.mlp1(torch.cat([class_tokens, id_features], dim=-1)) + class_tokens
        stacked: Tensor = self.layer_norm(self.mlp2(fused))
        return stacked


class PerceiverAttention(nn.Module):
    """Cross-attention of the latents over patches and latents together (Flamingo's resampler)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, patches: Tensor, latents: Tensor) -> Tensor:
        """``patches``: [N, P, D]; ``latents``: [N, T, D]; returns [N, T, D]."""
        patches, latents = self.norm1(patches), self.norm2(latents)
        query = self._split(self.to_q(latents))
        key, value = (self._split(part) for part in self.to_kv(torch.cat([patches, latents], dim=1)).chunk(2, -1))
        scale = query.shape[-1] ** -0.25
        weights = (query * scale) @ (key * scale).transpose(-2, -1)
        attended = weights.float().softmax(-1).to(weights.dtype) @ value
        out: Tensor = self.to_out(attended.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return heads


class PerceiverResampler(nn.Module):
    """Refines the face tokens with what the CLIP patches show."""

    def __init__(self, width: int, patch_width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(patch_width, width)
        self.proj_out = nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PerceiverAttention(width, heads),
                    nn.Sequential(
                        nn.LayerNorm(width),
                        nn.Linear(width, 4 * width, bias=False),
                        nn.GELU(),
                        nn.Linear(4 * width, width, bias=False),
                    ),
                ]
            )
            for _ in range(depth)
        )

    def forward(self, latents: Tensor, patches: Tensor) -> Tensor:
        patches = self.proj_in(patches)
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            attention, feed_forward = layer
            latents = attention(patches, latents) + latents
            latents = feed_forward(latents) + latents
        refined: Tensor = self.norm_out(self.proj_out(latents))
        return refined


class QFormerPerceiver(nn.Module):
    """V2's head: a face embedding becomes ``token_count`` tokens, refined over the CLIP patches."""

    def __init__(self, width: int, patch_width: int, hidden: int, token_count: int, depth: int, heads: int) -> None:
        super().__init__()
        self.token_count = token_count
        self.token_proj = nn.Sequential(
            nn.Linear(FACE_EMBEDDING_WIDTH, hidden), nn.GELU(), nn.Linear(hidden, token_count * width)
        )
        self.token_norm = nn.LayerNorm(width)
        self.perceiver_resampler = PerceiverResampler(width, patch_width, depth, heads)

    def forward(self, face_embeddings: Tensor, patches: Tensor) -> Tensor:
        tokens = self.token_norm(self.token_proj(face_embeddings).unflatten(-1, (self.token_count, -1)))
        refined: Tensor = tokens + self.perceiver_resampler(tokens, patches)
        return refined


class IdEncoder(nn.Module):
    """The ``id_encoder`` of a PhotoMaker adapter."""

    def __init__(
        self,
        vision: CLIPVisionConfig,
        projections: tuple[int, int],
        perceiver: QFormerPerceiver | None = None,
    ) -> None:
        super().__init__()
        hidden = int(vision.hidden_size)
        self.vision_model = CLIPVisionModel(vision)
        self.visual_projection = nn.Linear(hidden, projections[0], bias=False)
        self.visual_projection_2 = nn.Linear(hidden, projections[1], bias=False)
        self.fuse_module = FuseModule(sum(projections))
        self.qformer_perceiver = perceiver

    @property
    def version(self) -> Version:
        return "v1" if self.qformer_perceiver is None else "v2"

    @property
    def tokens_per_photo(self) -> int:
        """T: how many places of the prompt one ID photo takes."""
        return 1 if self.qformer_perceiver is None else self.qformer_perceiver.token_count

    @property
    def width(self) -> int:
        """D: the width of the text embeddings that this encoder was trained for."""
        return int(self.fuse_module.layer_norm.normalized_shape[0])

    @property
    def image_size_px(self) -> int:
        return int(self.vision_model.config.image_size)

    def feature_modules(self) -> list[nn.Module]:
        """The parts that :meth:`features` runs; :meth:`fuse` needs the fuse module alone."""
        return [child for name, child in self.named_children() if name != "fuse_module"]

    def features(self, pixels: Tensor, face_embeddings: Tensor | None = None) -> Tensor:
        """ID features [N, T, D] of photos [N, 3, 224, 224] (CLIP-normalised).

        ``face_embeddings`` [N, 512] are V2's second input and unused by V1.
        """
        output = self.vision_model(pixel_values=pixels)
        if self.qformer_perceiver is None:
            pooled = output.pooler_output
            return torch.cat([self.visual_projection(pooled), self.visual_projection_2(pooled)], dim=-1).unsqueeze(1)
        if face_embeddings is None:
            raise ValueError("a V2 ID encoder needs face_embeddings beside the photos")
        features: Tensor = self.qformer_perceiver(face_embeddings, output.last_hidden_state)
        return features

    def fuse(self, tokens: Tensor, class_tokens: range, id_features: Tensor) -> Tensor:
        """Replace the class tokens of text embeddings [1, L, D] by the stacked ID embedding.

        ``id_features``: [M, D], one for each place in ``class_tokens``.
        """
        places = slice(class_tokens.start, class_tokens.stop)
        merged = tokens.clone()
        merged[0, places] = self.fuse_module(tokens[0, places], id_features).to(tokens.dtype)
        return merged


def id_encoder_from_weights(weights: Mapping[str, Tensor], vision_heads: int | None = None) -> IdEncoder:
    """Build the encoder that ``weights`` (an adapter's ``id_encoder`` part) belong to, and load them.

    The attention heads of the vision tower cannot be read from its weights; CLIP's rule of 64 features
    a head, and at least 4 heads, holds for ViT-L/14. ``vision_heads`` overrides it. Raises ``KeyError``
    or ``RuntimeError`` when the weights are not those of an ID encoder.
    """
    prefix = "vision_model."
    patch = weights[f"{prefix}embeddings.patch_embedding.weight"]
    positions = weights[f"{prefix}embeddings.position_embedding.weight"]
    hidden, patch_px = patch.shape[0], patch.shape[-1]
    vision = CLIPVisionConfig(
        hidden_size=hidden,
        intermediate_size=weights[f"{prefix}encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_count(weights, f"{prefix}encoder.layers."),
        num_attention_heads=vision_heads or max(4, hidden // 64),
        patch_size=patch_px,
        image_size=round((positions.shape[0] - 1) ** 0.5) * patch_px,
        hidden_act="quick_gelu",
    )
    projections = (weights["visual_projection.weight"].shape[0], weights["visual_projection_2.weight"].shape[0])
    encoder = IdEncoder(vision, projections, _perceiver(weights, hidden))
    encoder.load_state_dict(_as_installed(weights, encoder), strict=True)
    return encoder.eval()


def _perceiver(weights: Mapping[str, Tensor], patch_width: int) -> QFormerPerceiver | None:
    prefix = "qformer_perceiver."
    if f"{prefix}token_norm.weight" not in weights:
        return None
    width = weights[f"{prefix}token_norm.weight"].shape[0]
    projection = weights[f"{prefix}token_proj.2.weight"]
    return QFormerPerceiver(
        width=width,
        patch_width=patch_width,
        hidden=projection.shape[1],
        token_count=projection.shape[0] // width,
        depth=_count(weights, f"{prefix}perceiver_resampler.layers."),
        heads=max(1, width // 128),
    )


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in weights if name.startswith(prefix))


def _as_installed(weights: Mapping[str, Tensor], encoder: IdEncoder) -> dict[str, Tensor]:
    """Name the tower's weights as the installed transformers does; releases before 5 nest them once more."""
    nested = any(name.startswith("vision_model.vision_model.") for name in encoder.state_dict())
    if not nested:
        return dict(weights)
    return {
        f"vision_model.{name}" if name.startswith("vision_model.") else name: value for name, value in weights.items()
    }


def id_encoder_weights(encoder: IdEncoder) -> dict[str, Tensor]:
    """The encoder's weights under the names that adapter files use."""
    return {
        name.replace("vision_model.vision_model.", "vision_model."): value
        for name, value in encoder.state_dict().items()
    }
