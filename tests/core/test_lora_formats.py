"""LoCon, LoHa, LoKr and DoRA files change each weight as their formulas say, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from photomaker_core.errors import ModelError
from photomaker_core.loading.original_names import original_unet_name
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.models.lora_layers import LoraWeights, activate_loras
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE

RANK = 3
ALPHA = 2.0
Parts = dict[str, Tensor]
Format = Callable[[Tensor, torch.Generator], tuple[Parts, Tensor]]
"""Makes a layer's tensors for a base weight, and what they change in it, by the format's definition."""


@pytest.fixture
def model() -> PhotoMaker:
    return load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU)


def noise(random: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=random) * 0.1


def lora(weight: Tensor, random: torch.Generator) -> tuple[Parts, Tensor]:
    rows, columns, *kernel = weight.shape
    down, up = noise(random, RANK, columns, *kernel), noise(random, rows, RANK)
    delta = torch.einsum("or,ri...->oi...", up, down) * ALPHA / RANK
    up = up.view(rows, RANK, *([1] * len(kernel)))
    return {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(ALPHA)}, delta


def locon_tucker(weight: Tensor, random: torch.Generator) -> tuple[Parts, Tensor]:
    rows, columns, *kernel = weight.shape
    if not kernel:
        return lora(weight, random)
    down, up = noise(random, 2, columns, 1, 1), noise(random, rows, RANK, 1, 1)
    mid = noise(random, RANK, 2, *kernel)
    # The three convolutions of the format one after the other, on a picture of one white pixel for each channel.
    dots = torch.zeros(columns, columns, 5, 5)
    dots[range(columns), range(columns), 2, 2] = 1
    shown = nn.functional.conv2d(nn.functional.conv2d(nn.functional.conv2d(dots, down), mid, padding=2), up)
    middle = shown[:, :, 5 - kernel[0] : 5, 5 - kernel[1] : 5]
    delta = middle.flip(2, 3).transpose(0, 1) * ALPHA / 2
    parts = {"lora_down.weight": down, "lora_mid.weight": mid, "lora_up.weight": up, "alpha": torch.tensor(ALPHA)}
    return parts, delta


def loha(weight: Tensor, random: torch.Generator) -> tuple[Parts, Tensor]:
    rows, columns = len(weight), weight[0].numel()
    sides = [(noise(random, rows, RANK), noise(random, RANK, columns)) for _ in range(2)]
    delta = (sides[0][0] @ sides[0][1]) * (sides[1][0] @ sides[1][1]) * ALPHA / RANK
    parts = {
        f"hada_w{n}_{part}": value for n, side in enumerate(sides, 1) for part, value in zip("ab", side, strict=True)
    }
    return parts | {"alpha": torch.tensor(ALPHA)}, delta.view(weight.shape)


def loha_tucker(weight: Tensor, random: torch.Generator) -> tuple[Parts, Tensor]:
    rows, columns, *kernel = weight.shape
    if not kernel:
        return loha(weight, random)
    parts, product = {"alpha": torch.tensor(ALPHA)}, torch.ones(())
    for side in (1, 2):
        core, up, down = noise(random, RANK, RANK, *kernel), noise(random, RANK, rows), noise(random, RANK, columns)
        parts |= {f"hada_t{side}": core, f"hada_w{side}_a": up, f"hada_w{side}_b": down}
        product = product * torch.einsum("ijkl,io,jc->ockl", core, up, down)
    return parts, product * ALPHA / RANK


def kronecker(first: Tensor, second: Tensor) -> Tensor:
    """The Kronecker product of [a, c] and [b, d, ...], block by block."""
    rows = [torch.cat([value * second for value in row], dim=1) for row in first]
    return torch.cat(rows, dim=0)


def lokr(weight: Tensor, random: torch.Generator) -> tuple[Parts, Tensor]:
    rows, columns, *kernel = weight.shape
    first = noise(random, 4, 4)
    up, down = (
        noise(random, rows // 4, RANK),
        noise(random, RANK, columns // 4 * (weight[0, 0].numel() if kernel else 1)),
    )
    second = (up @ down).view(rows // 4, columns // 4, *kernel)
    down = down if not kernel else down.view(RANK, columns // 4, *kernel)
    parts = {"lokr_w1": first, "lokr_w2_a": up, "lokr_w2_b": down.flatten(1) if kernel else down}
    return parts | {"alpha": torch.tensor(ALPHA)}, kronecker(first, second) * ALPHA / RANK


def lokr_whole(weight: Tensor, random: torch.Generator) -> tuple[Parts, Tensor]:
    rows, columns, *kernel = weight.shape
    first_up, first_down = noise(random, 2, RANK), noise(random, RANK, 2)
    second = noise(random, rows // 2, columns // 2, *kernel)
    parts = {"lokr_w1_a": first_up, "lokr_w1_b": first_down, "lokr_w2": second, "alpha": torch.tensor(ALPHA)}
    return parts, kronecker(first_up @ first_down, second) * ALPHA / RANK


def dora(inner: Format, *, columns: bool) -> Format:
    def make(weight: Tensor, random: torch.Generator) -> tuple[Parts, Tensor]:
        parts, delta = inner(weight, random)
        changed = weight + delta
        dims = [dim for dim in range(weight.ndim) if dim != (1 if columns else 0)]
        norms = changed.pow(2).sum(dims, keepdim=True).sqrt()
        magnitude = norms * (1 + noise(random, *norms.shape))
        return parts | {"dora_scale": magnitude}, changed * magnitude / norms - weight

    return make


FORMATS: dict[str, Format] = {
    "LoRA and LoCon": lora,
    "LoCon, Tucker": locon_tucker,
    "LoHa": loha,
    "LoHa, Tucker": loha_tucker,
    "LoKr": lokr,
    "LoKr, whole": lokr_whole,
    "DoRA": dora(lora, columns=False),
    "DoRA by columns": dora(lora, columns=True),
    "DoRA of a LoHa": dora(loha, columns=False),
    "DoRA of a LoKr by columns": dora(lokr, columns=True),
}


def targets(model: PhotoMaker, *, with_text: bool) -> dict[str, nn.Linear | nn.Conv2d]:
    """Attention, projections and convolutions of the UNet, and layers of both text encoders, by kohya's names."""
    found = {}
    for name, module in model.base.unet.named_modules():
        own = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
        if name.endswith((".to_q", ".to_k", ".to_out.0", ".conv1", ".conv_shortcut", "ff.net.0.proj")):
            found["lora_unet_" + name.replace(".", "_")] = own
    for number, encoder in enumerate(model.base.text.encoders, 1):
        for name, module in encoder.named_modules():
            if with_text and name.endswith(("q_proj", "mlp.fc1")):
                plain = name.removeprefix("text_model.").replace(".", "_")
                found[f"lora_te{number}_text_model_{plain}"] = module
    return found


def write(model: PhotoMaker, path: Path, make: Format, *, with_text: bool) -> dict[str, Tensor]:
    """Write a file of the format; the change of each module by its name."""
    random = torch.Generator().manual_seed(0)
    weights, deltas = {}, {}
    for name, module in targets(model, with_text=with_text).items():
        parts, deltas[name] = make(module.weight.detach(), random)
        weights |= {f"{name}.{role}": value.contiguous() for role, value in parts.items()}
    save_file(weights, path)
    return deltas


def outputs(model: PhotoMaker, names: dict[str, Tensor]) -> dict[str, Tensor]:
    """What each module makes of the same noise."""
    found = {}
    modules = {
        **{"lora_unet_" + n.replace(".", "_"): m for n, m in model.base.unet.named_modules()},
        **{
            f"lora_te{number}_text_model_{n.removeprefix('text_model.').replace('.', '_')}": m
            for number, encoder in enumerate(model.base.text.encoders, 1)
            for n, m in encoder.named_modules()
        },
    }
    for name, delta in names.items():
        random = torch.Generator().manual_seed(1)
        shape = (2, delta.shape[1], 8, 8) if delta.ndim == 4 else (2, delta.shape[1])
        with torch.no_grad():
            found[name] = modules[name](torch.randn(shape, generator=random))
    return found


def activate(model: PhotoMaker, styles: LoraWeights) -> None:
    model.activate_loras(styles)
    text = model.text_encoders_under(styles)
    for encoder in text.encoders:
        activate_loras(encoder, text.loras)


def expected(module: nn.Linear | nn.Conv2d, delta: Tensor) -> Tensor:
    random = torch.Generator().manual_seed(1)
    if isinstance(module, nn.Conv2d):
        shown = torch.randn((2, delta.shape[1], 8, 8), generator=random)
        return nn.functional.conv2d(shown, delta, stride=module.stride, padding=module.padding)
    return nn.functional.linear(torch.randn((2, delta.shape[1]), generator=random), delta)


@pytest.mark.parametrize("with_text", [False, True], ids=["UNet", "UNet and text encoders"])
@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS.keys())
def test_a_format_changes_weights_by_its_formula(
    model: PhotoMaker, tmp_path: Path, make: Format, with_text: bool
) -> None:
    deltas = write(model, tmp_path / "file.safetensors", make, with_text=with_text)
    modules = targets(model, with_text=with_text)
    before = outputs(model, deltas)
    model.add_style_lora("Odd one, v1.5", tmp_path / "file.safetensors")
    assert model.notes == []
    activate(model, ())
    for name, value in outputs(model, deltas).items():
        torch.testing.assert_close(value, before[name], atol=1e-5, rtol=0)
    for weight in (1.0, 0.5, 0.0, -1.0):
        activate(model, (("Odd one, v1.5", weight),))
        for name, value in outputs(model, deltas).items():
            torch.testing.assert_close(
                value - before[name],
                weight * expected(modules[name], deltas[name]),
                atol=2e-5,
                rtol=1e-3,
                msg=lambda m, n=name, w=weight: f"{n} at {w}: {m}",
            )
    activate(model, ())
    for name, value in outputs(model, deltas).items():
        torch.testing.assert_close(value, before[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [lora, loha, lokr, dora(lora, columns=False)], ids=["LoRA", "LoHa", "LoKr", "DoRA"])
def test_a_neighbour_without_the_lora_is_drawn_as_alone(model: PhotoMaker, tmp_path: Path, make: Format) -> None:
    engine, settings = StepEngine(model), GenerationSettings(width=64, height=64, steps=2, seed=1)
    conditioning = engine.condition("a man img", None, torch.ones(1, 1, 256))

    def alone() -> Tensor:
        generation = engine.begin(conditioning, settings)
        while not generation.is_done:
            engine.step([generation])
        return generation.latents

    before = alone()
    write(model, tmp_path / "file.safetensors", make, with_text=True)
    model.add_style_lora("odd", tmp_path / "file.safetensors")
    styles = (("odd", 0.8),)
    with_style = GenerationSettings(width=64, height=64, steps=2, seed=1, style_loras=styles)
    styled = engine.begin(engine.condition("a man img", None, torch.ones(1, 1, 256), styles), with_style)
    plain = engine.begin(conditioning, settings)
    while not plain.is_done:
        engine.step([styled])
        engine.step([plain])
    torch.testing.assert_close(plain.latents, before, atol=1e-5, rtol=0)
    assert (styled.latents - before).abs().max() > 1e-4


def test_several_doras_add_up(model: PhotoMaker, tmp_path: Path) -> None:
    styles, total = [], {}
    for number, make in enumerate((dora(lora, columns=False), dora(loha, columns=False), lora)):
        file = tmp_path / f"{number}.safetensors"
        deltas = write(model, file, make, with_text=False)
        model.add_style_lora(str(number), file)
        styles.append((str(number), 0.5))
        total = {name: total.get(name, 0) + 0.5 * delta for name, delta in deltas.items()}
    modules = targets(model, with_text=False)
    activate(model, ())
    before = outputs(model, total)
    for order in (tuple(styles), tuple(reversed(styles))):
        activate(model, order)
        for name, value in outputs(model, total).items():
            torch.testing.assert_close(value - before[name], expected(modules[name], total[name]), atol=5e-5, rtol=1e-3)
    activate(model, (("0", 0.5), ("0", -0.5)))
    for name, value in outputs(model, total).items():
        torch.testing.assert_close(value, before[name], atol=2e-5, rtol=0)


def test_original_names_find_the_same_modules(model: PhotoMaker, tmp_path: Path) -> None:
    write(model, tmp_path / "plain.safetensors", dora(loha, columns=True), with_text=False)
    names = {
        "lora_unet_" + name.replace(".", "_"): "lora_unet_"
        + original_unet_name(model.base.unet.config, name).replace(".", "_")
        for name, _ in model.base.unet.named_modules()
    }
    renamed = {
        f"{names[key.partition('.')[0]]}.{key.partition('.')[2]}": value
        for key, value in load_file(tmp_path / "plain.safetensors").items()
    }
    save_file(renamed, tmp_path / "original.safetensors")
    changes = []
    for file in ("plain", "original"):
        fresh = load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU)
        fresh.add_style_lora(file, tmp_path / f"{file}.safetensors")
        assert fresh.notes == []
        fresh.activate_loras(((file, 1.0),))
        deltas = {name: torch.zeros_like(module.weight) for name, module in targets(fresh, with_text=False).items()}
        changes.append(outputs(fresh, deltas))
    for name, value in changes[0].items():
        torch.testing.assert_close(changes[1][name], value, atol=1e-6, rtol=0)


def test_layers_without_a_place_are_counted_in_every_format(model: PhotoMaker, tmp_path: Path) -> None:
    for number, make in enumerate((loha, dora(lora, columns=False))):
        write(model, tmp_path / "file.safetensors", make, with_text=False)
        weights = load_file(tmp_path / "file.safetensors")
        extra, _ = make(torch.ones(32, 32), torch.Generator().manual_seed(0))
        module = "lora_unet_up_blocks_7_attentions_0_transformer_blocks_0_attn1_to_q"
        save_file(weights | {f"{module}.{role}": value for role, value in extra.items()}, tmp_path / "more.safetensors")
        model.add_style_lora(f"more {number}", tmp_path / "more.safetensors")
        layers = len(targets(model, with_text=False)) + 1
        assert model.notes[number] == f"LoRA “more {number}”: 1 of its {layers} layers have no place here"


@pytest.mark.parametrize("lost", ["hada_w2_a", "hada_w1_b"])
def test_a_layer_that_lacks_a_part_is_named(model: PhotoMaker, tmp_path: Path, lost: str) -> None:
    name, module = next(iter(targets(model, with_text=False).items()))
    parts, _ = loha(module.weight.detach(), torch.Generator().manual_seed(0))
    del parts[lost]
    save_file({f"{name}.{role}": value.contiguous() for role, value in parts.items()}, tmp_path / "half.safetensors")
    with pytest.raises(ModelError, match=f"The LoRA “half”.*{name}"):
        model.add_style_lora("half", tmp_path / "half.safetensors")
    assert model.style_loras == []
