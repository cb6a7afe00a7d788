"""A PhotoMaker model ready to draw: an SDXL base, a PhotoMaker adapter, and style LoRAs.

:func:`load_photomaker` is the library's entry; the engine steps what it returns.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from PIL import Image
from torch import Tensor, nn

from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD
from photomaker_core.errors import MissingFaceEmbedderError, ModelError, UnfusedLoraError
from photomaker_core.images.preprocessing import clip_pixels
from photomaker_core.loading.adapter import Adapter, load_adapter
from photomaker_core.loading.base_model import BaseModel, Hardware, best_hardware, load_base
from photomaker_core.loading.lora_files import layer_count, read_lora
from photomaker_core.loading.lora_targets import LoraTargets
from photomaker_core.loading.placement import footprint_of, place
from photomaker_core.memory.cpu_offload import CpuOffload, on_device
from photomaker_core.memory.footprint import Footprint, free_bytes
from photomaker_core.memory.plans import PLANS, MemoryPlan
from photomaker_core.memory.quantization import has_float8, has_torchao
from photomaker_core.memory.unet_layout import PLAIN_LAYOUT, UnetLayout
from photomaker_core.models.face_embedder import FaceEmbedder
from photomaker_core.models.id_encoder import IdEncoder, Version
from photomaker_core.models.lora_layers import LoraWeights, activate_loras, add_row_gains
from photomaker_core.models.text_encoders import TextEncoders
from photomaker_core.models.textual_inversion import TextualInversion
from photomaker_core.presets.prompt_length import DEFAULT_MAX_CHUNKS, LARGEST_MAX_CHUNKS

log = logging.getLogger(__name__)

_ADAPTER_NAME: Final = "photomaker"


class PhotoMaker:
    """Base, adapter and LoRAs on one device. Use :func:`load_photomaker` to make one."""

    def __init__(
        self,
        base: BaseModel,
        adapter: Adapter,
        *,
        face_embedder: FaceEmbedder | None = None,
        trigger_word: str = DEFAULT_TRIGGER_WORD,
        lora_weight: float = 1.0,
        fuse_lora: bool = False,
        max_chunks: int = DEFAULT_MAX_CHUNKS,
    ) -> None:
        if not 1 <= max_chunks <= LARGEST_MAX_CHUNKS:
            raise ModelError(f"A prompt can have 1 to {LARGEST_MAX_CHUNKS} chunks; {max_chunks} is not possible.")
        encoder = adapter.id_encoder
        if encoder.width != base.text.width:
            raise ModelError(
                f"This adapter was made for text embeddings {encoder.width} wide, but the base model's are "
                f"{base.text.width} wide. They do not belong together."
            )
        if encoder.version == "v2" and face_embedder is None:
            raise MissingFaceEmbedderError(
                "This is a PhotoMaker V2 adapter, which needs a face embedder: install the extra “insightface” "
                "and name the folder of its antelopev2 model. A V1 adapter needs none."
            )
        self.base = base
        self.id_encoder: IdEncoder = encoder.to(base.hardware.device, base.hardware.dtype)
        self.trigger_word = trigger_word
        self.max_chunks = max_chunks
        self.style_loras: list[str] = []
        self.notes: list[str] = [*base.notes, *adapter.notes]
        """Phrases that an operator should read about the files that were loaded."""
        self._lora_layer_names: dict[str, str] = {}
        self._words: dict[str, tuple[TextualInversion, ...]] = {}
        self._learnt_tokens = 0
        self._face_embedder = face_embedder
        self._encoder_fingerprint = adapter.fingerprint
        self._active: LoraWeights | None = None
        self._lora_weight = lora_weight
        self._fused = fuse_lora
        if adapter.lora_weights:
            placed = self._add_lora(_ADAPTER_NAME, adapter.lora_weights, _ADAPTER_NAME)
            self._tell_missing("the adapter's LoRA", layer_count(adapter.lora_weights), placed)
        if fuse_lora and adapter.lora_weights:
            base.pipeline.set_adapters([_ADAPTER_NAME], [lora_weight])
            base.pipeline.fuse_lora(adapter_names=[_ADAPTER_NAME])
            base.pipeline.unload_lora_weights()
        base.text.clear()
        self._has_lora = bool(adapter.lora_weights) and not fuse_lora
        self._footprint: Callable[[], Footprint] | None = None
        self.plan: MemoryPlan = PLANS[0]
        self._id_offload: CpuOffload | None = None
        self.activate_loras(())

    @property
    def version(self) -> Version:
        return self.id_encoder.version

    @property
    def fingerprint(self) -> str:
        """Identifies what ID features depend on: the encoder's weights and the face embedder."""
        face = "" if self._face_embedder is None else f"+{self._face_embedder.fingerprint}"
        return f"{self._encoder_fingerprint}{face if self.version == 'v2' else ''}"

    @torch.no_grad()
    def encode_photos(self, photos: Sequence[Image.Image]) -> Tensor:
        """ID features [N, T, D] in float32 on the CPU.

        Raises :class:`~photomaker_core.errors.PhotoError` when V2 finds no face in a photo.
        """
        hardware = self.base.hardware
        pixels = clip_pixels(photos, self.id_encoder.image_size_px).to(hardware.device, hardware.dtype)
        faces = None
        if self.version == "v2":
            assert self._face_embedder is not None
            faces = torch.stack([self._face_embedder.embed(photo) for photo in photos]).to(pixels)
        with on_device(self._id_offload, *self.id_encoder.feature_modules()):
            return self.id_encoder.features(pixels, faces).float().cpu()

    def place(self, hardware: Hardware, plan: MemoryPlan | None = None, layout: UnetLayout = PLAIN_LAYOUT) -> None:
        """Move a model that was loaded on the CPU to where it is to draw, by ``plan`` or the fastest that fits.

        Raises :class:`ModelError` for a plan or a layout that cannot be followed.
        """
        if layout.fused_qkv:
            self.require_fused_loras("A UNet with fused projections")
        layout.apply(self.base.unet)
        self._footprint = footprint_of(self.base, self.id_encoder, hardware.dtype, self.max_chunks)
        if plan is None and hardware.device.type == "cpu":
            plan = PLANS[0]
        elif plan is None:
            usable = [one for one in PLANS if self._can_follow(one, hardware)]
            plan = self._footprint().choose(free_bytes(hardware.device), usable)
        if plan.unet_weights == "float8":
            self.require_fused_loras(f"The memory plan {plan.name}")
        self._id_offload = place(self.base, self.id_encoder, plan, hardware)
        self.plan = plan

    @property
    def footprint(self) -> Footprint | None:
        """What the model needs, computed when first asked for; None where it was not placed."""
        return None if self._footprint is None else self._footprint()

    def largest_batch(self, limit: int) -> int:
        """Count the pictures, up to ``limit``, that the memory that is free now lets share a UNet forward."""
        footprint = self.footprint
        if footprint is None:
            return limit
        free = free_bytes(self.base.hardware.device)
        return footprint.largest_batch(self.plan, free + footprint.resident(self.plan), limit)

    @property
    def has_lora_layers(self) -> bool:
        """True where a LoRA lies beside the UNet's weights, and not in them."""
        return self._has_lora or bool(self.style_loras)

    def require_fused_loras(self, who: str) -> None:
        """Raise :class:`UnfusedLoraError`, in ``who``'s name, where LoRA layers lie beside the UNet's weights."""
        if self.has_lora_layers:
            raise UnfusedLoraError(f"{who} needs the adapter's LoRA fused into the UNet, and no style LoRAs.")

    def _can_follow(self, plan: MemoryPlan, hardware: Hardware) -> bool:
        if plan.unet_weights == "int8":
            return has_torchao()
        return plan.unet_weights != "float8" or (has_float8(hardware.device) and not self.has_lora_layers)

    def add_style_lora(self, name: str, path: str | Path) -> None:
        """Load a style LoRA; generations choose it by ``name``. Raises :class:`ModelError`."""
        if name == _ADAPTER_NAME or name in self.style_loras:
            raise ModelError(f"There is a LoRA called “{name}” already.")
        targets = LoraTargets(self.base.unet, self.base.text.encoders)
        text = self.base.text
        lora = read_lora(Path(path).expanduser(), name, text.widths, targets)
        # The layers' name becomes a part of module names, in which torch allows no dots.
        layer_name = f"style_{len(self._lora_layer_names)}"
        placed = self._add_lora(name, lora.weights, layer_name)
        self._lora_layer_names[name] = layer_name
        for part, network in zip(("unet", "text_encoder", "text_encoder_2"), self._networks, strict=True):
            own = {
                path.removeprefix(f"{part}."): gain for path, gain in lora.gains.items() if path.startswith(f"{part}.")
            }
            add_row_gains(network, layer_name, own)
        self.style_loras.append(name)
        self._keep_words(name, lora.words)
        for note in lora.notes:
            self._tell(f"LoRA “{name}”: {note}")
        self._tell_missing(f"LoRA “{name}”", lora.layers, placed)
        self._active = None
        self.activate_loras(())

    def activate_loras(self, styles: LoraWeights) -> None:
        """Switch the UNet to the PhotoMaker LoRA and these style LoRAs with their weights."""
        if styles == self._active:
            return
        self._active = None
        activate_loras(self.base.unet, self._with_own_lora(styles))
        self._active = styles

    def text_encoders_under(self, styles: LoraWeights) -> TextEncoders:
        """The text encoders as these style LoRAs, and the PhotoMaker LoRA, change them, with the words they bring."""
        words = [word for name, _ in styles for word in self._words.get(name, ())]
        return self.base.text.under(self._with_own_lora(styles), tuple(words))

    def _keep_words(self, name: str, words: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Give a file's words ids that no other word has."""
        kept = []
        for word, vectors in words.items():
            first, second = (one.embeddings + self._learnt_tokens for one in self.base.text.tokenizers)
            kept.append(TextualInversion(word, vectors, (first, second)))
            self._learnt_tokens += len(vectors[0])
        self._words[name] = tuple(kept)

    def _with_own_lora(self, styles: LoraWeights) -> LoraWeights:
        """The layers of a set of LoRAs; the weights of one that is named several times add up."""
        layers = {_ADAPTER_NAME: self._lora_weight} if self._has_lora else {}
        for name, weight in styles:
            layer = self._lora_layer_names.get(name, name)
            layers[layer] = layers.get(layer, 0.0) + weight
        return tuple(layers.items())

    @property
    def _networks(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        """What LoRAs lie in."""
        return self.base.unet, *self.base.text.encoders

    def _add_lora(self, name: str, weights: Mapping[str, Tensor], layer_name: str) -> int:
        """Put LoRA layers beside the weights and return how many; none stay where that fails."""
        if not weights:
            raise self._has_no_weights(name)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="peft")
                self.base.pipeline.load_lora_weights(dict(weights), adapter_name=layer_name)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            self._remove_lora(layer_name)
            raise ModelError(
                f"The LoRA “{name}” does not fit the base model; it was made for another architecture. "
                f"({_first_line(error)})"
            ) from error
        placed = sum(
            layer_name in getattr(module, kind, {})
            for part in self._networks
            for module in part.modules()
            for kind in ("lora_A", "lora_embedding_A")
        )
        if placed == 0:
            raise self._has_no_weights(name)
        return placed

    @staticmethod
    def _has_no_weights(name: str) -> ModelError:
        return ModelError(
            f"The LoRA “{name}” has no weights for this base model; it was made for another architecture."
        )

    def _tell_missing(self, what: str, layers: int, placed: int) -> None:
        if placed < layers:
            self._tell(f"{what}: {layers - placed} of its {layers} layers have no place here")

    def _tell(self, note: str) -> None:
        self.notes.append(note)
        log.warning("%s", note)

    def _remove_lora(self, layer_name: str) -> None:
        for part in self._networks:
            if layer_name in getattr(part, "peft_config", {}):
                self.base.pipeline.delete_adapters(layer_name)
                return


def load_photomaker(
    base: str | Path,
    adapter: str | Path,
    *,
    base_config: str | Path | None = None,
    hardware: Hardware | None = None,
    face_embedder: FaceEmbedder | None = None,
    style_loras: Mapping[str, str | Path] | None = None,
    fuse_lora: bool = False,
    use_lora: bool = True,
    memory_plan: MemoryPlan | None = None,
    layout: UnetLayout = PLAIN_LAYOUT,
    max_chunks: int = DEFAULT_MAX_CHUNKS,
) -> PhotoMaker:
    """Load everything that a picture needs.

    ``base`` is a hub id, a diffusers folder or a single file, then with an optional ``base_config``
    (see :func:`~photomaker_core.loading.base_model.load_base`); ``adapter`` a ``photomaker-v1`` or
    ``-v2`` file in either form; ``style_loras`` maps names to files. Without ``use_lora`` the adapter's LoRA is
    left out, and text alone draws what the base draws. Without a ``memory_plan`` the fastest one that fits the
    free memory is taken. Prompts are read to the end of ``max_chunks`` chunks of 75 tokens. The model's ``notes`` say
    what is odd about the files. Raises :class:`ModelError`.
    """
    hardware = hardware or best_hardware()
    loaded = load_adapter(adapter)
    if not use_lora:
        loaded = replace(loaded, lora_weights={})
    model = PhotoMaker(
        load_base(
            str(base), Hardware(torch.device("cpu"), hardware.dtype), None if base_config is None else Path(base_config)
        ),
        loaded,
        face_embedder=face_embedder,
        fuse_lora=fuse_lora,
        max_chunks=max_chunks,
    )
    for name, path in (style_loras or {}).items():
        model.add_style_lora(name, path)
    model.place(hardware, memory_plan, layout)
    return model


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
