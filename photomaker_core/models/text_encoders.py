"""SDXL's two text encoders as one: token ids in, prompt embeddings and pooled embedding out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from photomaker_core.memory.cpu_offload import CpuOffload, on_device
from photomaker_core.models.lora_layers import LoraWeights, activate_loras, loras_in
from photomaker_core.models.prompt_tokenizer import PromptTokenizer
from photomaker_core.models.textual_inversion import TextualInversion, learnt_vectors


@dataclass(frozen=True, slots=True)
class TextEmbedding:
    """``tokens``: [B, L, D] with D both encoders' widths together; ``pooled``: [B, P]. B is 1 in drawing.

    L is 77 times the prompt's chunks.
    """

    tokens: Tensor
    pooled: Tensor

    def zeros_like(self) -> TextEmbedding:
        return TextEmbedding(torch.zeros_like(self.tokens), torch.zeros_like(self.pooled))

    @property
    def size_bytes(self) -> int:
        return self.tokens.nbytes + self.pooled.nbytes


class TextEmbeddingCache:
    """Embeddings used last, by all that they depend on, in at most ``max_bytes``. None of them may be changed."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._size_bytes = max_bytes, 0
        self._kept: OrderedDict[Hashable, TextEmbedding] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def get(self, key: Hashable) -> TextEmbedding | None:
        embedding = self._kept.get(key)
        if embedding is not None:
            self._kept.move_to_end(key)
        return embedding

    def clear(self) -> None:
        self._kept.clear()
        self._size_bytes = 0

    def put(self, key: Hashable, embedding: TextEmbedding) -> None:
        self._kept[key] = embedding
        self._size_bytes += embedding.size_bytes
        while self._size_bytes > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._size_bytes -= oldest.size_bytes


@dataclass(frozen=True, slots=True)
class TextEncoders:
    """Both tokenizers with their encoders; ``tokenizers[0]`` is the one prompts are decoded with.

    With a ``cache`` the same ids are embedded once under the same ``loras``, which are active whenever the encoders
    run; only for encoders whose own weights do not change. Encoders with an ``offload`` are on its device only while
    they run; those that hooks bring to a device run on ``works_on``. The ``inversions`` are words that prompts can use.
    """

    tokenizers: tuple[PromptTokenizer, PromptTokenizer]
    encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    cache: TextEmbeddingCache | None = None
    offload: CpuOffload | None = None
    works_on: torch.device | None = None
    loras: LoraWeights = ()
    inversions: tuple[TextualInversion, ...] = ()

    @classmethod
    def of(cls, pipeline: StableDiffusionXLPipeline, cache: TextEmbeddingCache | None = None) -> TextEncoders:
        """Those of an SDXL pipeline."""
        encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        first, second = (
            PromptTokenizer(tokenizer, encoder.config.vocab_size, encoder.config.max_position_embeddings)
            for tokenizer, encoder in zip((pipeline.tokenizer, pipeline.tokenizer_2), encoders, strict=True)
        )
        return cls((first, second), encoders, cache)

    @property
    def widths(self) -> tuple[int, int]:
        """Each encoder's share of D."""
        first, second = (int(encoder.config.hidden_size) for encoder in self.encoders)
        return first, second

    @property
    def width(self) -> int:
        return sum(self.widths)

    @property
    def device(self) -> torch.device:
        """The device that ids are sent to; offloaded weights lie elsewhere between uses."""
        weights: torch.device = self.encoders[0].device
        return self.works_on or weights

    @property
    def effective_loras(self) -> tuple[LoraWeights, ...]:
        """For each encoder the LoRAs that change what it gives."""
        return tuple(loras_in(encoder, self.loras) for encoder in self.encoders)

    def under(self, loras: LoraWeights, inversions: tuple[TextualInversion, ...] = ()) -> TextEncoders:
        """The same as these LoRAs change them, with their words; of two that are called alike the first is meant."""
        if not inversions:
            return replace(self, loras=loras)
        first, second = (
            replace(tokenizer, learnt={one.word: one.ids(encoder) for one in reversed(inversions)})
            for encoder, tokenizer in enumerate(self.tokenizers)
        )
        return replace(self, tokenizers=(first, second), loras=loras, inversions=inversions)

    def clear(self) -> None:
        """Empty the cache, where there is one."""
        if self.cache is not None:
            self.cache.clear()

    def token_ids(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Plain prompts as ids [B, 77] for each encoder, truncated or padded."""
        first, second = (
            torch.tensor([tokenizer.framed(tokenizer.ids(prompt)) for prompt in prompts])
            for tokenizer in self.tokenizers
        )
        return first, second

    @torch.no_grad()
    def encode(self, prompt: str) -> TextEmbedding:
        """Embed a plain prompt."""
        return self.encode_ids(*self.token_ids([prompt]))

    @torch.no_grad()
    def encode_chunks(self, first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> TextEmbedding:
        """Embed a prompt's chunks of 77 ids apart, as many for either encoder, and join them along the length.

        The pooled embedding is the first chunk's, as in AUTOMATIC1111 and ComfyUI.
        """
        chunks = [
            self.encode_ids(torch.tensor([one]), torch.tensor([other]))
            for one, other in zip(first, second, strict=True)
        ]
        if len(chunks) == 1:
            return chunks[0]
        return TextEmbedding(torch.cat([chunk.tokens for chunk in chunks], dim=1), chunks[0].pooled)

    def encode_ids(self, first: Tensor, second: Tensor) -> TextEmbedding:
        """Embed ids [B, 77], one tensor for each encoder; gradients flow where they are enabled.

        Both penultimate hidden states are concatenated on features; the pooled embedding is the second
        encoder's projected output (Podell et al. 2023, SDXL, section 2.1).
        """
        if self.cache is None:
            return self._run(first, second)
        key = (torch.cat([first, second]).numpy().tobytes(), self.effective_loras)
        embedding = self.cache.get(key)
        if embedding is None:
            embedding = self._run(first, second)
            self.cache.put(key, embedding)
        return embedding

    def _run(self, first: Tensor, second: Tensor) -> TextEmbedding:
        for encoder in self.encoders:
            activate_loras(encoder, self.loras)
        outputs = []
        with on_device(self.offload, *self.encoders):
            for number, (encoder, ids) in enumerate(zip(self.encoders, (first, second), strict=True)):
                with learnt_vectors(encoder, ids, self.inversions, number) as known:
                    outputs.append(encoder(known.to(self.device), output_hidden_states=True))
        tokens = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return TextEmbedding(tokens, outputs[1].text_embeds)
