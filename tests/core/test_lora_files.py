"""LoRA files in every spelling draw the same; what is something else is named by what it is."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from photomaker_core.errors import ModelError
from photomaker_core.loading.original_names import original_unet_name
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE

RANK = 4


@pytest.fixture
def model() -> PhotoMaker:
    return load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU)


def drawn(model: PhotoMaker, name: str | None = None) -> Tensor:
    engine = StepEngine(model)
    styles = () if name is None else ((name, 1.0),)
    features = torch.ones(1, 1, 256)
    settings = GenerationSettings(width=64, height=64, steps=2, seed=1, style_loras=styles)
    conditioning = engine.condition("a man img", None, features)
    generation = engine.begin(conditioning, settings)
    while not generation.is_done:
        engine.step([generation])
    return generation.latents


def attention_lora(model: PhotoMaker) -> dict[str, tuple[Tensor, Tensor]]:
    """Random layers (down, up) for every attention projection of the UNet, by diffusers' module name."""
    random = torch.Generator().manual_seed(0)
    layers = {}
    for name, module in model.base.unet.named_modules():
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0")):
            width = module.weight.shape
            down = torch.randn(RANK, width[1], generator=random) * 0.2
            layers[name] = down, torch.randn(width[0], RANK, generator=random) * 0.2
    return layers


Spelling = Callable[[PhotoMaker, str], tuple[str, str]]


def dotted(prefix: str, down: str = ".lora_A.weight", up: str = ".lora_B.weight") -> Spelling:
    return lambda _model, name: (f"{prefix}{name}{down}", f"{prefix}{name}{up}")


def original(prefix: str, *, kohya: bool = False) -> Spelling:
    def spell(model: PhotoMaker, name: str) -> tuple[str, str]:
        module = original_unet_name(model.base.unet.config, name)
        if kohya:
            module = module.replace(".", "_")
        parts = (".lora_down.weight", ".lora_up.weight") if kohya else (".lora_A.weight", ".lora_B.weight")
        return f"{prefix}{module}{parts[0]}", f"{prefix}{module}{parts[1]}"

    return spell


def kohya(_model: PhotoMaker, name: str) -> tuple[str, str]:
    module = "lora_unet_" + name.replace(".", "_")
    return f"{module}.lora_down.weight", f"{module}.lora_up.weight"


def processor(_model: PhotoMaker, name: str) -> tuple[str, str]:
    block, _, projection = name.removesuffix(".0").rpartition(".")
    return (
        f"unet.{block}.processor.{projection}_lora.down.weight",
        f"unet.{block}.processor.{projection}_lora.up.weight",
    )


SPELLINGS = {
    "diffusers": dotted("unet."),
    "diffusers, up and down": dotted("unet.", ".lora.down.weight", ".lora.up.weight"),
    "diffusers, processors": processor,
    "peft": dotted("base_model.model."),
    "peft, named": dotted("base_model.model.", ".lora_A.default.weight", ".lora_B.default.weight"),
    "peft in diffusers": dotted("unet.base_model.model."),
    "compiled": dotted("unet._orig_mod."),
    "bare": dotted(""),
    "bare, kohya's parts": dotted("", ".lora_down.weight", ".lora_up.weight"),
    "kohya": kohya,
    "kohya, original blocks": original("lora_unet_", kohya=True),
    "comfy": original("diffusion_model."),
    "comfy, whole": original("model.diffusion_model."),
    "original blocks, bare": original(""),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_draws_the_same(model: PhotoMaker, tmp_path: Path, spelling: Spelling) -> None:
    layers = attention_lora(model)
    save_file(
        {f"unet.{k}.lora_{part}.weight": v for k, pair in layers.items() for part, v in zip("AB", pair, strict=True)},
        tmp_path / "plain.safetensors",
    )
    weights = {
        spelt: value for name, pair in layers.items() for spelt, value in zip(spelling(model, name), pair, strict=True)
    }
    save_file(weights, tmp_path / "odd.v1.5.safetensors")
    before = drawn(model)
    model.add_style_lora("plain", tmp_path / "plain.safetensors")
    model.add_style_lora("odd.v1.5 (final)", tmp_path / "odd.v1.5.safetensors")
    expected = drawn(model, "plain")
    assert (expected - before).abs().max() > 1e-3
    assert torch.allclose(drawn(model, "odd.v1.5 (final)"), expected, atol=1e-5)
    assert torch.equal(drawn(model), before)
    assert model.notes == []


@pytest.mark.parametrize(
    "spelling", [dotted("unet."), dotted("base_model.model."), kohya, original("diffusion_model.")]
)
def test_alpha_scales_in_every_spelling(model: PhotoMaker, tmp_path: Path, spelling: Spelling) -> None:
    weights: dict[str, Tensor] = {}
    halved: dict[str, Tensor] = {}
    for name, (down, up) in attention_lora(model).items():
        down_name, up_name = spelling(model, name)
        weights |= {down_name: down, up_name: up, down_name.rsplit(".lora_", 1)[0] + ".alpha": torch.tensor(RANK / 2)}
        halved |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up / 2}
    save_file(weights, tmp_path / "alpha.safetensors")
    save_file(halved, tmp_path / "halved.safetensors")
    model.add_style_lora("alpha", tmp_path / "alpha.safetensors")
    model.add_style_lora("halved", tmp_path / "halved.safetensors")
    assert torch.allclose(drawn(model, "alpha"), drawn(model, "halved"), atol=1e-5)


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("written", ["metadata", "adapter_config.json"])
def test_alphas_that_are_written_beside_the_weights_scale(
    model: PhotoMaker, tmp_path: Path, written: str, rslora: bool
) -> None:
    layers = attention_lora(model)
    special = next(iter(layers))
    by_rank = RANK**0.5 if rslora else RANK
    config = {"r": RANK, "lora_alpha": 6, "use_rslora": rslora, "alpha_pattern": {special: 9}}
    scaled: dict[str, Tensor] = {}
    for name, (down, up) in layers.items():
        scale = (9 if name == special else 6) / by_rank
        scaled |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": scale * up}
    prefix = "unet." if written == "metadata" else "base_model.model."
    weights = {
        f"{prefix}{name}.lora_{part}.weight": value
        for name, pair in layers.items()
        for part, value in zip("AB", pair, strict=True)
    }
    file = tmp_path / "adapter_model.safetensors"
    if written == "metadata":
        about = {f"unet.{key}": value for key, value in config.items()}
        save_file(weights, file, {"format": "pt", "lora_adapter_metadata": json.dumps(about)})
    else:
        save_file(weights, file)
        (tmp_path / written).write_text(json.dumps(config))
    save_file(scaled, tmp_path / "scaled.safetensors")
    model.add_style_lora("written", file)
    model.add_style_lora("scaled", tmp_path / "scaled.safetensors")
    assert torch.allclose(drawn(model, "written"), drawn(model, "scaled"), atol=1e-5)


@pytest.mark.parametrize("text", ["", "[]", "no json", '{"unet.lora_alpha": "much"}', '{"unet.lora_alpha": NaN}'])
def test_metadata_that_says_nothing_sensible_changes_nothing(model: PhotoMaker, tmp_path: Path, text: str) -> None:
    weights = {
        f"unet.{name}.lora_{part}.weight": value
        for name, pair in attention_lora(model).items()
        for part, value in zip("AB", pair, strict=True)
    }
    save_file(weights, tmp_path / "odd.safetensors", {"lora_adapter_metadata": text})
    save_file(weights, tmp_path / "plain.safetensors")
    model.add_style_lora("odd", tmp_path / "odd.safetensors")
    model.add_style_lora("plain", tmp_path / "plain.safetensors")
    assert torch.allclose(drawn(model, "odd"), drawn(model, "plain"), atol=1e-6)


@pytest.mark.parametrize("spelling", [dotted("unet."), kohya])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lora_that_lost_one_factor_is_refused(
    model: PhotoMaker, tmp_path: Path, spelling: Spelling, lost: int
) -> None:
    weights = {
        spelt: value
        for name, pair in attention_lora(model).items()
        for spelt, value in zip(spelling(model, name), pair, strict=True)
    }
    gone = spelling(model, next(iter(attention_lora(model))))[lost]
    save_file({key: value for key, value in weights.items() if key != gone}, tmp_path / "half.safetensors")
    with pytest.raises(ModelError, match="The LoRA “half”"):
        model.add_style_lora("half", tmp_path / "half.safetensors")
    assert model.style_loras == []


def test_a_lora_of_no_rank_is_refused(model: PhotoMaker, tmp_path: Path) -> None:
    name = next(iter(attention_lora(model)))
    down, up = kohya(model, name)
    save_file({down: torch.zeros(0, 64), up: torch.zeros(64, 0)}, tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match=r"is broken: its tensor .* is empty"):
        model.add_style_lora("none", tmp_path / "none.safetensors")


def kohya_weights(model: PhotoMaker) -> dict[str, Tensor]:
    return {
        spelt: value
        for name, pair in attention_lora(model).items()
        for spelt, value in zip(kohya(model, name), pair, strict=True)
    }


def test_layers_without_a_place_are_told(model: PhotoMaker, tmp_path: Path) -> None:
    module = "lora_unet_up_blocks_7_attentions_0_transformer_blocks_0_attn1_to_q"
    extra = {f"{module}.lora_down.weight": torch.zeros(4, 32), f"{module}.lora_up.weight": torch.zeros(32, 4)}
    save_file(kohya_weights(model) | extra, tmp_path / "more.safetensors")
    model.add_style_lora("more", tmp_path / "more.safetensors")
    assert model.notes == [f"LoRA “more”: 1 of its {len(attention_lora(model)) + 1} layers have no place here"]
    assert torch.isfinite(drawn(model, "more")).all()


def changed(weights: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {name.replace(old, new): value for name, value in weights.items()}


OTHERS: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "oft": (lambda it: changed(it, "lora_down.weight", "oft_blocks"), "an OFT"),
    "full": (lambda it: changed(it, "lora_down.weight", "diff"), "full weight differences"),
    "flux": (lambda _: {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": torch.zeros(4, 8)}, "Flux"),
    "flux of kohya": (
        lambda _: {"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": torch.zeros(4, 8)},
        "Flux",
    ),
    "sd3": (lambda _: {"transformer.joint_blocks.0.x.lora_A.weight": torch.zeros(4, 8)}, "Stable Diffusion 3"),
    "embedding": (lambda _: {"clip_g": torch.zeros(2, 1280), "clip_l": torch.zeros(2, 768)}, "textual inversion"),
    "vae": (lambda _: {"decoder.up_blocks.0.resnets.0.conv1.weight": torch.zeros(4)}, "a VAE"),
    "checkpoint": (
        lambda _: {"model.diffusion_model.out.2.weight": torch.zeros(4), "conditioner.embedders.1.x": torch.zeros(1)},
        "a whole SDXL model",
    ),
    "controlnet": (lambda _: {"controlnet_cond_embedding.conv_in.weight": torch.zeros(4)}, "a ControlNet"),
    "ip-adapter": (
        lambda _: {"image_proj.proj.weight": torch.zeros(4), "ip_adapter.1.x": torch.zeros(1)},
        "IP-Adapter",
    ),
    "adapter": (lambda _: load_file(TINY_ADAPTER), "a PhotoMaker adapter"),
    "sd 1.5": (
        lambda _: {
            f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_{p}.lora_{d}.weight": torch.zeros(s)
            for p in "kv"
            for d, s in (("down", (4, 768)), ("up", (320, 4)))
        },
        "Stable Diffusion 1.5",
    ),
    "nan": (lambda it: {name: torch.full_like(value, torch.nan) for name, value in it.items()}, "no numbers"),
    "infinite": (lambda it: {name: torch.full_like(value, torch.inf) for name, value in it.items()}, "no numbers"),
    "other": (lambda _: {"weight": torch.zeros(3)}, "is no LoRA"),
    "nothing": (lambda _: {}, "is no LoRA"),
}


@pytest.mark.parametrize(("change", "sentence"), OTHERS.values(), ids=OTHERS.keys())
def test_what_is_no_lora_for_sdxl_is_called_what_it_is(
    model: PhotoMaker, tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], sentence: str
) -> None:
    before = drawn(model)
    save_file({k: v.contiguous() for k, v in change(kohya_weights(model)).items()}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=f"The LoRA “other”.*{sentence}"):
        model.add_style_lora("other", tmp_path / "other.safetensors")
    assert model.style_loras == []
    assert torch.equal(drawn(model), before)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (bytes(4000), "zeros"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 228455700\n", "Git LFS pointer"),
        (b"\r\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b'{"error": "Unauthorized"}', "JSON"),
        (b"GGUF\x03\0\0\0" + bytes(100), "GGUF"),
        (b"Rar!\x1a\x07" + bytes(100), "archive"),
        (b"PK\x03\x04" + bytes(100), "Python pickle"),
        (pickle.dumps({"a": [1, 2]}), "no weights|is no LoRA|pickle"),
        (b"MZ\x90" + bytes(1000), "neither a safetensors nor a torch file"),
    ],
    ids=["empty", "zeros", "lfs", "html", "json", "gguf", "rar", "zip", "pickle", "program"],
)
@pytest.mark.parametrize("name", ["odd.safetensors", "odd.bin"])
def test_a_file_that_holds_no_weights_is_called_what_it_is(
    model: PhotoMaker, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        model.add_style_lora("odd", tmp_path / name)


def test_a_lora_that_was_cut_off_is_told(model: PhotoMaker, tmp_path: Path) -> None:
    save_file(kohya_weights(model), tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cut off or damaged"):
        model.add_style_lora("cut", tmp_path / "cut.safetensors")


def test_a_torch_file_of_a_lora_is_read_by_its_content(model: PhotoMaker, tmp_path: Path) -> None:
    torch.save({"state_dict": kohya_weights(model)}, tmp_path / "lora.safetensors")
    save_file(kohya_weights(model), tmp_path / "lora.pt")
    model.add_style_lora("torch", tmp_path / "lora.safetensors")
    model.add_style_lora("safetensors", tmp_path / "lora.pt")
    assert torch.equal(drawn(model, "torch"), drawn(model, "safetensors"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: (value * 100).to(torch.int8),
        lambda value: value > 0,
        lambda value: value.to_sparse(),
        lambda value: value.to("meta"),
    ],
    ids=["int8", "bool", "sparse", "meta"],
)
def test_weights_that_are_no_plain_numbers_are_told(
    model: PhotoMaker, tmp_path: Path, spoil: Callable[[Tensor], Tensor]
) -> None:
    spelt = dotted("unet.")
    weights = {
        key: spoil(value)
        for name, pair in attention_lora(model).items()
        for key, value in zip(spelt(model, name), pair, strict=True)
    }
    torch.save(weights, tmp_path / "odd.bin")
    with pytest.raises(ModelError, match="quantised"):
        model.add_style_lora("odd", tmp_path / "odd.bin")
