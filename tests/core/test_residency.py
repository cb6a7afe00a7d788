"""What each memory plan keeps on a card, in whatever order a server calls the parts, beside the peak it promises."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import torch

from photomaker_core.loading.adapter import load_adapter
from photomaker_core.loading.base_model import Hardware, load_base
from photomaker_core.loading.placement import footprint_of, place
from photomaker_core.memory.cpu_offload import on_device
from photomaker_core.memory.footprint import weight_bytes
from photomaker_core.memory.plans import PLANS_BY_NAME
from photomaker_core.models.vae import decode_in_parts
from tests.support.counted_card import CARD, counted_card
from tests.support.tiny_model import TINY_ADAPTER, TINY_BASE

HALF = Hardware(torch.device("cpu"), torch.float16)
CALLS = 6


@pytest.mark.parametrize("plan", ["full", "encoder-offload", "model-offload", "fp8"])
def test_a_plan_keeps_to_the_peak_that_it_promises(plan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base, encoder = load_base(str(TINY_BASE), HALF), load_adapter(TINY_ADAPTER).id_encoder.half()
    followed = PLANS_BY_NAME[plan]
    promised = footprint_of(base, encoder, HALF.dtype, max_chunks=1)()
    largest_part = max(weight_bytes(part) for part in (base.unet, base.vae, *base.text.encoders))
    with counted_card(monkeypatch) as card:
        offload = place(base, encoder, followed, Hardware(CARD, HALF.dtype))
        latent = base.side_px // base.vae_scale

        def embed() -> None:
            ids = torch.zeros(1, 77, dtype=torch.long)
            base.text._run(ids, ids)

        def encode_photo() -> None:
            with on_device(offload, *encoder.feature_modules()):
                encoder.features(torch.zeros(1, 3, 224, 224, dtype=HALF.dtype, device=CARD))

        def step() -> None:
            rows = {"dtype": HALF.dtype, "device": CARD}
            base.unet(
                torch.zeros(2, 4, latent, latent, **rows),
                torch.zeros(2, device=CARD),
                torch.zeros(2, 77, base.text.width, **rows),
                added_cond_kwargs={
                    "text_embeds": torch.zeros(2, 128, **rows),
                    "time_ids": torch.zeros(2, 6, **rows),
                },
            )

        def decode() -> None:
            for _ in decode_in_parts(base.vae, torch.zeros(1, 4, latent, latent, device=CARD)):
                pass

        calls: list[Callable[[], None]] = [embed, encode_photo, step, decode]
        rng = Random(0)
        for call in [*calls, *rng.choices(calls, k=CALLS)]:
            call()
            if plan == "model-offload":
                assert card.live <= largest_part + weight_bytes(encoder.fuse_module), call.__name__
    assert card.peak <= promised.peak(followed) * 1.02
