"""Memory plans: what is expected, what is chosen, and that a plan changes memory and not pictures."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from photomaker_core.errors import ModelError, UnfusedLoraError
from photomaker_core.loading.adapter import load_adapter
from photomaker_core.loading.base_model import Hardware, load_base
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.loading.placement import offload, place
from photomaker_core.loading.sdxl_config import photomaker_footprint
from photomaker_core.memory.cpu_offload import CpuOffload, on_device
from photomaker_core.memory.footprint import Footprint, weight_bytes
from photomaker_core.memory.live_bytes import live_bytes
from photomaker_core.memory.plans import PLANS, PLANS_BY_NAME
from photomaker_core.models.vae import decode_in_parts, encode_pixels
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.latent_preview import LatentColours
from photomaker_core.sampling.step_engine import StepEngine
from tests.support.tiny_model import CPU, NEWTON, TINY_ADAPTER, TINY_BASE

GIB = 2**30
PHOTOS = [path for path in NEWTON if path.suffix == ".jpg"]


@pytest.fixture(scope="module")
def sdxl() -> Footprint:
    return photomaker_footprint(torch.bfloat16)


def test_sdxl_is_as_large_as_it_is(sdxl: Footprint) -> None:
    """2.57 thousand million weights in the UNet, 1.14 in text encoders and V1's ID encoder."""
    assert sdxl.unet / 2 / 1e9 == pytest.approx(2.567, abs=0.01)
    assert sdxl.encoders / 2 / 1e9 == pytest.approx(1.144, abs=0.01)
    assert sdxl.vae / 2 / 1e6 == pytest.approx(83.65, abs=0.1)


@pytest.mark.parametrize(
    ("card_gib", "plan"),
    [(24, "full"), (16, "full"), (10, "tiled"), (8, "int8"), (6, "fp8"), (4, "sequential-offload")],
)
def test_each_card_gets_the_fastest_plan_that_fits(sdxl: Footprint, card_gib: int, plan: str) -> None:
    free = int((card_gib - 0.5) * GIB)
    chosen = sdxl.choose(free)
    assert chosen.name == plan
    assert sdxl.peak(chosen) < free


def test_a_larger_card_draws_more_pictures_at_once(sdxl: Footprint) -> None:
    plan = PLANS_BY_NAME["full"]
    batches = [sdxl.largest_batch(plan, free * GIB, limit=64) for free in (9, 12, 16, 24)]
    assert batches == sorted(set(batches))
    assert sdxl.largest_batch(plan, 80 * GIB, limit=4) == 4
    assert sdxl.largest_batch(plan, 1 * GIB, limit=4) == 1


@given(free_gib=st.floats(1, 80), batch=st.integers(1, 16))
def test_a_chosen_batch_stays_within_the_free_memory(sdxl: Footprint, free_gib: float, batch: int) -> None:
    free = int(free_gib * GIB)
    plan = sdxl.choose(free)
    largest = sdxl.largest_batch(plan, free, batch)
    assert 1 <= largest <= batch
    assert largest == 1 or sdxl.peak(plan, largest) <= free


def test_plans_go_from_much_memory_to_little(sdxl: Footprint) -> None:
    peaks = {plan.name: sdxl.peak(plan) for plan in PLANS}
    assert peaks.pop("int8") < peaks["encoder-offload"]
    assert list(peaks.values()) == sorted(peaks.values(), reverse=True)


def test_live_bytes_are_counted_from_an_operation_to_the_end_of_its_result() -> None:
    layers = torch.nn.Sequential(*(torch.nn.Linear(100, 100, bias=False) for _ in range(5)))
    row = torch.zeros(10, 100)
    assert live_bytes(layers, lambda: layers(row)) == 2 * row.nbytes
    assert live_bytes(layers, lambda: [layers(row) for _ in range(3)]) == 4 * row.nbytes


def picture(model: PhotoMaker) -> np.ndarray:
    engine = StepEngine(model)
    features = model.encode_photos([Image.open(path).convert("RGB") for path in PHOTOS])
    conditioning = engine.condition("a man img in a memory plan", "blurry", features)
    generation = engine.begin(conditioning, GenerationSettings(128, 128, steps=3, seed=1))
    while not generation.is_done:
        engine.step([generation])
    return np.asarray(engine.finish(generation)).astype(int)


def loaded(plan: str, **options: Any) -> PhotoMaker:
    return load_photomaker(
        str(TINY_BASE), TINY_ADAPTER, hardware=CPU, memory_plan=PLANS_BY_NAME[plan], fuse_lora=True, **options
    )


def test_plans_draw_the_picture_of_the_full_one() -> None:
    """Tiles blend at their seams, offloading changes nothing, eight bits round: mean differences in levels of 255."""
    full, tiled, encoder_offload, int8, halved = (
        picture(loaded(name)) for name in ("full", "tiled", "encoder-offload", "int8", "fp8")
    )
    assert np.abs(full - tiled).mean() < 15
    assert np.array_equal(tiled, encoder_offload)
    assert 0 < np.abs(tiled - int8).mean() < np.abs(tiled - halved).mean() < 5


def test_offloaded_encoders_are_back_in_cpu_memory_after_their_work() -> None:
    model = loaded("encoder-offload")
    assert model.base.text.offload is not None
    before = picture(model)
    assert np.array_equal(before, picture(model))
    assert model.base.text.device.type == "cpu"


def test_eight_bits_halve_the_unet() -> None:
    whole = loaded("full").base.unet
    halved = loaded("fp8").base.unet
    assert halved.mid_block.resnets[0].conv1.weight.element_size() == 1
    assert sum(one.nbytes for one in halved.parameters()) < 0.4 * sum(one.nbytes for one in whole.parameters())


def test_int8_weights_take_what_was_expected_and_leave_loras_switchable() -> None:
    model = load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU, memory_plan=PLANS_BY_NAME["int8"])
    assert model.footprint is not None
    plain = loaded("full").base.unet
    assert weight_bytes(loaded("int8").base.unet) == pytest.approx(model.footprint.int8_unet, rel=0.02)
    assert weight_bytes(loaded("int8").base.unet) < 0.7 * weight_bytes(plain)
    with_lora = picture(model)
    model.base.pipeline.disable_lora()
    assert np.abs(picture(model) - with_lora).mean() > 0


def test_int8_without_torchao_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"photomaker-bot\[int8\]"):
        loaded("int8")


@pytest.mark.parametrize("plan", ["model-offload", "sequential-offload"])
def test_offload_without_a_gpu_is_refused(plan: str) -> None:
    with pytest.raises(ModelError, match="no GPU here"):
        loaded(plan)


def test_eight_bits_beside_unfused_loras_are_refused() -> None:
    with pytest.raises(UnfusedLoraError, match="fused into the UNet"):
        load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU, memory_plan=PLANS_BY_NAME["fp8"])


def test_a_model_without_a_plan_takes_the_batch_it_is_told() -> None:
    model = PhotoMaker(load_base(str(TINY_BASE), CPU), load_adapter(TINY_ADAPTER))
    assert model.largest_batch(7) == 7
    assert loaded("full").largest_batch(3) == 3


def test_coming_back_from_the_device_copies_no_weights() -> None:
    part = torch.nn.Linear(3, 3)
    before = part.weight.data_ptr()
    with on_device(CpuOffload(torch.device("meta")), part):
        assert part.weight.device.type == "meta"
    assert part.weight.data_ptr() == before
    assert part.weight.device.type == "cpu"


def test_a_convolution_takes_its_input_and_output_once_more() -> None:
    layer = torch.nn.Conv2d(2, 4, 3, padding=1, bias=False)
    pixels = torch.zeros(1, 2, 8, 8)
    assert live_bytes(layer, lambda: layer(pixels)) == pixels.nbytes + 2 * layer(pixels).nbytes


@pytest.mark.parametrize("name", ["model-offload", "sequential-offload"])
def test_an_offloaded_base_draws_the_same_picture(name: str) -> None:
    """A CPU runs the same hooks: between uses, layers that are offloaded one by one lie on the meta device."""
    model = loaded("tiled")
    expected = picture(model)
    model.base.text.clear()
    offload(model.base, PLANS_BY_NAME[name], CPU.device)
    if name == "sequential-offload":
        assert {one.device.type for one in model.base.unet.parameters()} == {"meta"}
    assert np.array_equal(picture(model), expected)


def test_sequential_offload_holds_one_layer_at_a_time() -> None:
    model = loaded("tiled")
    assert model.footprint is not None
    offload(model.base, PLANS_BY_NAME["sequential-offload"], CPU.device)
    parts = (model.base.unet, model.base.vae)
    resident: list[int] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "convolution" in str(func) or "addmm" in str(func):
                here = (one.nbytes for part in parts for one in part.parameters() if not one.is_meta)
                resident.append(sum(here))
            return func(*args, **(kwargs or {}))

    engine = StepEngine(model)
    generation = engine.begin(engine.condition("a man", None, None), GenerationSettings(64, 64, steps=1))
    with Watch():  # type: ignore[no-untyped-call]
        engine.step([generation])
        engine.finish(generation)
    assert 0 < max(resident) <= model.footprint.largest_layer


def test_apples_gpus_get_no_float8() -> None:
    model = PhotoMaker(load_base(str(TINY_BASE), CPU), load_adapter(TINY_ADAPTER), fuse_lora=True)
    apple = Hardware(torch.device("mps"), torch.float16)
    with pytest.raises(ModelError, match="float8"):
        place(model.base, model.id_encoder, PLANS_BY_NAME["fp8"], apple)
    followed = [plan for plan in PLANS if model._can_follow(plan, apple)]
    assert PLANS_BY_NAME["fp8"] not in followed
    assert PLANS_BY_NAME["sequential-offload"] in followed
    assert model._can_follow(PLANS_BY_NAME["fp8"], Hardware(torch.device("cuda"), torch.float16))


@pytest.mark.parametrize("says_so", [True, False])
def test_a_float16_vae_that_overflows_runs_in_float32(says_so: bool) -> None:
    hardware = Hardware(torch.device("cpu"), torch.float16)
    base = load_base(str(TINY_BASE), hardware)
    base.vae.register_to_config(force_upcast=says_so)
    for coder in (base.vae.encoder, base.vae.decoder):
        coder.conv_in.weight.mul_(30_000)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert not base.vae.decode(latents.half()).sample.isfinite().all()
    assert LatentColours.fitted(base.vae, base.vae_scale, hardware.device).weights.isfinite().all()
    assert decoded(base.vae, latents).isfinite().all()
    assert base.vae.dtype == torch.float32


def decoded(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    parts = decode_in_parts(vae, latents)
    while True:
        try:
            next(parts)
        except StopIteration as end:
            pixels: torch.Tensor = end.value
            return pixels


def test_previews_honour_the_mean_and_deviation_of_the_latents() -> None:
    base = load_base(str(TINY_BASE), CPU)
    plain = LatentColours.fitted(base.vae, base.vae_scale, CPU.device)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = plain(encode_pixels(base.vae, pixels))
    base.vae.register_to_config(latents_mean=[3.0, -2.0, 0.5, 1.0], latents_std=[0.5, 2.0, 1.0, 4.0])
    scaled = LatentColours.fitted(base.vae, base.vae_scale, CPU.device)
    torch.testing.assert_close(scaled(encode_pixels(base.vae, pixels)), expected, atol=1e-3, rtol=1e-3)
    assert (scaled.weights - plain.weights).abs().max() > 0.01
