"""Base models as people have them: what can be drawn with is loaded, the rest is called what it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EDMEulerScheduler, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from photomaker_core.errors import ModelError
from photomaker_core.loading.base_model import BaseModel, load_base
from tests.support.single_file import uneven_pipeline, write_single_file
from tests.support.tiny_model import CPU, TINY_BASE

Weights = dict[str, Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY_BASE, tmp_path / "base"))


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[StableDiffusionXLPipeline, Path, Path]:
    """A pipeline, its single file, and its folder without weights."""
    place = tmp_path_factory.mktemp("single")
    pipeline = uneven_pipeline(TINY_BASE)
    pipeline.save_pretrained(place / "configuration")
    for weights in (place / "configuration").glob("*/*.safetensors"):
        weights.unlink()
    return pipeline, write_single_file(pipeline, place / "base.safetensors"), place / "configuration"


def change_json(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))


def same_weights(found: BaseModel, expected: Any) -> bool:
    return all(
        torch.equal(getattr(found.pipeline, part).state_dict()[name], value)
        for part in ("unet", "vae", "text_encoder", "text_encoder_2")
        for name, value in getattr(expected, part).state_dict().items()
    )


def test_a_folder_of_half_precision_files_alone_is_loaded(folder: Path) -> None:
    expected = load_base(folder, CPU)
    for weights in folder.glob("*/*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert same_weights(load_base(folder, CPU), expected.pipeline)


def test_a_folder_with_some_half_precision_files_is_loaded(folder: Path) -> None:
    for weights in (folder / "unet").glob("*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert same_weights(load_base(folder, CPU), load_base(TINY_BASE, CPU).pipeline)


def test_a_tokenizer_without_a_length_cuts_where_the_encoder_does(folder: Path) -> None:
    for tokenizer in ("tokenizer", "tokenizer_2"):
        change_json(folder / tokenizer / "tokenizer_config.json", model_max_length=...)
    for tokenizer in load_base(folder, CPU).text.tokenizers:
        assert tokenizer.length == 77
        assert len(tokenizer.framed(tokenizer.ids("a man " * 200))) == 77


def test_a_folder_that_asks_for_a_watermark_is_loaded_without(folder: Path) -> None:
    change_json(folder / "model_index.json", add_watermarker=True)
    assert load_base(folder, CPU).pipeline.watermark is None


def test_an_edm_folder_is_loaded(folder: Path) -> None:
    EDMEulerScheduler().save_pretrained(folder / "scheduler")
    change_json(folder / "model_index.json", scheduler=["diffusers", "EDMEulerScheduler"])
    assert isinstance(load_base(folder, CPU).pipeline.scheduler, EDMEulerScheduler)


def test_a_path_may_start_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_base("~/base", CPU)
    with pytest.raises(ModelError, match=r"no model folder at .*/other"):
        load_base("~/other", CPU)


def inpainting(folder: Path) -> None:
    change_json(folder / "unet" / "config.json", in_channels=9)


def refiner(folder: Path) -> None:
    change_json(folder / "model_index.json", text_encoder=[None, None], tokenizer=[None, None])


def refiner_unet(folder: Path) -> None:
    change_json(folder / "unet" / "config.json", cross_attention_dim=1280)


def flow(folder: Path) -> None:
    change_json(folder / "scheduler" / "scheduler_config.json", _class_name="FlowMatchEulerDiscreteScheduler")


def pointer(folder: Path) -> None:
    weights = next((folder / "unet").glob("*.safetensors"))
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5135149760\n")


def without_parts(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    shutil.rmtree(folder / "tokenizer_2")


def list_for_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("[]")


def without_weights(folder: Path) -> None:
    next((folder / "vae").glob("*.safetensors")).unlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (inpainting, "an inpainting model"),
        (refiner, "the SDXL refiner"),
        (refiner_unet, "the SDXL refiner"),
        (flow, "flow matching"),
        (pointer, "Git LFS pointer"),
        (without_parts, "lacks vae, tokenizer_2"),
        (list_for_index, "damaged"),
        (without_weights, "cannot be loaded"),
    ],
)
def test_a_folder_that_cannot_draw_is_called_what_it_is(
    folder: Path, change: Callable[[Path], None], sentence: str
) -> None:
    change(folder)
    with pytest.raises(ModelError, match=sentence) as refused:
        load_base(folder, CPU)
    assert "\n" not in str(refused.value)
    assert "from_pretrained(" not in str(refused.value)


@pytest.mark.parametrize("name", ["BASE.SAFETENSORS", "base.ckpt", "base"])
def test_a_single_file_is_read_whatever_it_is_called(
    tmp_path: Path, single: tuple[StableDiffusionXLPipeline, Path, Path], name: str
) -> None:
    pipeline, path, configuration = single
    shutil.copy(path, tmp_path / name)
    assert same_weights(load_base(tmp_path / name, CPU, configuration), pipeline)


@pytest.mark.parametrize("name", ["base.ckpt", "base.safetensors"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_torch_file_is_read_whatever_it_is_called(
    tmp_path: Path, single: tuple[StableDiffusionXLPipeline, Path, Path], name: str, nested: bool
) -> None:
    pipeline, path, configuration = single
    weights = load_file(path)
    torch.save({"state_dict": weights, "global_step": 5} if nested else weights, tmp_path / name)
    assert same_weights(load_base(tmp_path / name, CPU, configuration), pipeline)


@pytest.mark.parametrize(
    ("markers", "metadata", "expected"),
    [
        (["v_pred"], {}, {"prediction_type": "v_prediction", "rescale_betas_zero_snr": False}),
        (["v_pred", "ztsnr"], {}, {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}),
        ([], {"modelspec.prediction_type": "v"}, {"prediction_type": "v_prediction"}),
        (["edm_vpred.sigma_max"], {}, {"prediction_type": "v_prediction", "sigma_max": 120.0, "sigma_data": 1.0}),
        ([], {"modelspec.prediction_type": "epsilon"}, {"prediction_type": "epsilon"}),
    ],
)
def test_markers_in_a_single_file_set_the_noise_schedule(
    tmp_path: Path,
    single: tuple[StableDiffusionXLPipeline, Path, Path],
    markers: list[str],
    metadata: dict[str, str],
    expected: dict[str, object],
) -> None:
    weights = load_file(single[1]) | {marker: torch.tensor([120.0]) for marker in markers}
    save_file(weights, tmp_path / "base.safetensors", metadata=metadata)
    base = load_base(tmp_path / "base.safetensors", CPU, single[2])
    assert {name: base.pipeline.scheduler.config[name] for name in expected} == expected
    assert bool(base.notes) == ("v_prediction" in expected.values())


def test_a_single_file_without_vae_takes_the_one_beside_its_configuration(
    tmp_path: Path, single: tuple[StableDiffusionXLPipeline, Path, Path]
) -> None:
    pipeline, path, configuration = single
    weights = {name: value for name, value in load_file(path).items() if not name.startswith("first_stage_model.")}
    save_file(weights, tmp_path / "base.safetensors")
    for other in (configuration, None):
        with pytest.raises(ModelError, match="holds no VAE"):
            load_base(tmp_path / "base.safetensors", CPU, other)
    shutil.copytree(configuration, tmp_path / "configuration")
    pipeline.vae.save_pretrained(tmp_path / "configuration" / "vae")
    base = load_base(tmp_path / "base.safetensors", CPU, tmp_path / "configuration")
    assert same_weights(base, pipeline)
    assert "holds no VAE" in base.notes[0]


def widened(weights: Weights, channels: int) -> Weights:
    first = "model.diffusion_model.input_blocks.0.0.weight"
    return weights | {first: torch.zeros(weights[first].shape[0], channels, 3, 3)}


def renamed(weights: Weights, old: str, new: str) -> Weights:
    return {name.replace(old, new): value for name, value in weights.items()}


def only(weights: Weights, prefix: str) -> Weights:
    return {name: value for name, value in weights.items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda it: widened(it, 9), "an inpainting model"),
        (lambda it: widened(it, 8), "edits pictures"),
        (
            lambda it: renamed(
                {k: v for k, v in it.items() if ".embedders.0." not in k},
                "conditioner.embedders.1.",
                "conditioner.embedders.0.",
            ),
            "the SDXL refiner",
        ),
        (lambda it: only(it, "model.diffusion_model."), "a UNet alone"),
        (lambda it: only(it, "first_stage_model."), "a VAE"),
        (
            lambda it: renamed(only(it, "conditioner.embedders.0."), "conditioner.embedders.0.", "cond_stage_model."),
            "a whole Stable Diffusion 1.5 model",
        ),
        (lambda _: {"lora_unet_x.lora_down.weight": torch.zeros(1)}, "a LoRA"),
        (lambda _: {"double_blocks.0.img_attn.proj.weight": torch.zeros(1)}, "Flux"),
        (lambda it: {k: v for k, v in it.items() if not k.startswith("model.")}, "incomplete|cannot be loaded"),
        (lambda it: {k: v for k, v in it.items() if ".embedders.0." not in k}, "incomplete|cannot be loaded"),
    ],
    ids=["inpainting", "edit", "refiner", "unet", "vae", "sd 1.5", "lora", "flux", "no unet", "no first encoder"],
)
def test_a_single_file_that_cannot_draw_is_called_what_it_is(
    tmp_path: Path,
    single: tuple[StableDiffusionXLPipeline, Path, Path],
    change: Callable[[Weights], Weights],
    sentence: str,
) -> None:
    save_file({k: v.contiguous() for k, v in change(load_file(single[1])).items()}, tmp_path / "base.safetensors")
    with pytest.raises(ModelError, match=sentence) as refused:
        load_base(tmp_path / "base.safetensors", CPU, single[2])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("base.gguf", b"GGUF\x03\0\0\0" + bytes(100), "a GGUF file"),
        ("base.safetensors", b"GGUF\x03\0\0\0" + bytes(100), "a GGUF file"),
        ("base.safetensors", b"<html>Sign in</html>", "a web page"),
        ("base.ckpt", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("base.ckpt", b"PK\x03\x04" + bytes(100), "Python pickle"),
        ("base.safetensors", b"", "empty"),
    ],
)
def test_a_file_that_holds_no_weights_is_called_what_it_is(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        load_base(tmp_path / name, CPU)


@pytest.mark.parametrize("source", ["base.ckpt", "BASE.SAFETENSORS", "base.gguf", "a/b/c", "models/base.safetensors"])
def test_a_path_that_is_not_there_is_no_hub_id(here: Path, source: str) -> None:
    with pytest.raises(ModelError, match=f"There is no model (?:file|folder) at {source}"):
        load_base(source, CPU)
