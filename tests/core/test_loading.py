"""Model files that are missing, broken, or do not belong together: a sentence for the operator each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from photomaker_core.errors import MissingFaceEmbedderError, ModelError
from photomaker_core.loading.adapter import load_adapter, save_adapter
from photomaker_core.loading.base_model import load_base
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.models.face_embedder import InsightFaceEmbedder
from photomaker_core.models.id_encoder import IdEncoder
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from tests.support.single_file import uneven_pipeline, write_single_file
from tests.support.tiny_model import CPU, GOLDEN, TINY_ADAPTER, TINY_BASE


def as_torch_file(source: Path, path: Path) -> Path:
    """The same adapter in the form of ``photomaker-v1.bin``."""
    parts: dict[str, dict[str, torch.Tensor]] = {"id_encoder": {}, "lora_weights": {}}
    for key, value in load_file(source).items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    torch.save(parts, path)
    return path


def changed_adapter(path: Path, **changes: torch.Tensor | None) -> Path:
    """The tiny adapter with tensors replaced, or left out where ``None`` is given."""
    tensors: dict[str, torch.Tensor | None] = {**load_file(TINY_ADAPTER), **changes}
    save_file({name: value for name, value in tensors.items() if value is not None}, path)
    return path


def test_both_forms_of_an_adapter_are_the_same(tmp_path: Path) -> None:
    ours, theirs = load_adapter(TINY_ADAPTER), load_adapter(as_torch_file(TINY_ADAPTER, tmp_path / "photomaker-v1.bin"))
    assert ours.fingerprint == theirs.fingerprint
    assert ours.lora_weights.keys() == theirs.lora_weights.keys()
    for name, value in ours.id_encoder.state_dict().items():
        assert torch.equal(value, theirs.id_encoder.state_dict()[name])


def test_a_torch_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Sneaky:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "was-here"),)

    torch.save({"id_encoder": Sneaky()}, tmp_path / "adapter.bin")
    with pytest.raises(ModelError, match="cannot be read"):
        load_adapter(tmp_path / "adapter.bin")
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "no PhotoMaker adapter at"), (b"", "cannot be read"), (b"not weights at all", "cannot be read")],
)
@pytest.mark.parametrize("name", ["adapter.bin", "adapter.safetensors"])
def test_a_missing_or_broken_adapter_is_explained(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        load_adapter(tmp_path / name)


def test_a_file_of_other_weights_is_no_adapter(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.bin")
    for path in (tmp_path / "list.bin", GOLDEN / "style.safetensors"):
        with pytest.raises(ModelError, match="no PhotoMaker adapter"):
            load_adapter(path)


def test_an_incomplete_adapter_is_explained(tmp_path: Path) -> None:
    path = changed_adapter(tmp_path / "half.safetensors", **{"id_encoder.visual_projection_2.weight": None})
    with pytest.raises(ModelError, match="incomplete or of an unknown form"):
        load_adapter(path)


@pytest.mark.parametrize("name", ["adapter.bin", "adapter.safetensors"])
def test_an_adapter_is_read_by_its_content_in_every_spelling(tmp_path: Path, name: str) -> None:
    expected = load_adapter(TINY_ADAPTER)
    weights = load_file(TINY_ADAPTER)
    positions = {"id_encoder.vision_model.embeddings.position_ids": torch.arange(5)[None]}
    bare = {key.removeprefix("id_encoder."): value for key, value in weights.items()}
    for number, spelt in enumerate(
        (weights, weights | positions, bare, {f"module.{k}": v for k, v in weights.items()})
    ):
        for suffix, save in ((".a", save_file), (".b", torch.save)):
            path = tmp_path / f"{number}{suffix}{name}"
            save(spelt, path)
            found = load_adapter(str(path))
            assert found.fingerprint == expected.fingerprint
            assert found.lora_weights.keys() == expected.lora_weights.keys()
            assert found.notes == ()


def test_an_adapter_without_lora_loads_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = {key: value for key, value in load_file(TINY_ADAPTER).items() if key.startswith("id_encoder.")}
    save_file(weights, tmp_path / "half.safetensors")
    model = load_photomaker(TINY_BASE, str(tmp_path / "half.safetensors"), hardware=CPU)
    assert model.notes == ["the adapter half.safetensors holds no LoRA: likeness is weaker than PhotoMaker's"]
    assert model.notes[0] in caplog.text
    assert torch.isfinite(drawn(model)).all()


def test_an_adapter_of_broken_numbers_is_refused(tmp_path: Path) -> None:
    key = "id_encoder.visual_projection_2.weight"
    broken = {key: torch.full_like(load_file(TINY_ADAPTER)[key], torch.nan)}
    with pytest.raises(ModelError, match=r"broken: 1 of its .*visual_projection_2.*NaN"):
        load_adapter(changed_adapter(tmp_path / "nan.safetensors", **broken))


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no PhotoMaker adapter: it is a LoRA"):
        load_adapter(GOLDEN / "style.safetensors")
    (tmp_path / "lfs.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="Git LFS pointer"):
        load_adapter(tmp_path / "lfs.bin")


def test_v2_without_a_face_embedder_says_what_to_do() -> None:
    with pytest.raises(MissingFaceEmbedderError, match=r"V2 adapter, which needs a face embedder.*antelopev2"):
        load_photomaker(str(TINY_BASE), GOLDEN / "photomaker-v2.safetensors", hardware=CPU)


def test_an_insightface_folder_without_its_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"antelopev2.*fetch them yourself"):
        InsightFaceEmbedder(tmp_path)


def test_an_adapter_of_another_width_is_refused(tmp_path: Path) -> None:
    wider = IdEncoder(load_adapter(TINY_ADAPTER).id_encoder.vision_model.config, (128, 160))
    save_adapter(tmp_path / "wider.safetensors", wider, {})
    with pytest.raises(ModelError, match=r"288 wide.*256 wide.*do not belong together"):
        load_photomaker(str(TINY_BASE), tmp_path / "wider.safetensors", hardware=CPU)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("/nowhere/base", "no model folder at"),
        ("/nowhere/base.safetensors", "no model file at"),
        ("nobody/has-this-model", "neither a folder or file here nor to be had"),
    ],
)
def test_a_missing_base_is_explained(source: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        load_base(source, CPU)


def test_a_folder_that_is_no_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model_index\.json"):
        load_base(str(tmp_path), CPU)
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        load_base(str(tmp_path), CPU)


def test_a_stable_diffusion_1_base_is_refused(tmp_path: Path) -> None:
    parts = {"_class_name": "StableDiffusionPipeline", "text_encoder": ["transformers", "CLIPTextModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(parts))
    with pytest.raises(ModelError, match=r"no SDXL model.*Stable Diffusion 1\.5"):
        load_base(str(tmp_path), CPU)


def test_a_base_with_a_part_missing_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(TINY_BASE, folder)
    shutil.rmtree(folder / "vae")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(str(folder), CPU)


def test_a_single_file_loads_the_same_weights(tmp_path: Path) -> None:
    pipeline = uneven_pipeline(TINY_BASE)
    pipeline.save_pretrained(tmp_path / "folder")
    path = write_single_file(pipeline, tmp_path / "base.safetensors")
    for weights in (tmp_path / "folder").glob("*/*.safetensors"):
        weights.unlink()
    loaded = load_base(str(path), CPU, config=tmp_path / "folder").pipeline
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        expected, found = (getattr(one, part).state_dict() for one in (pipeline, loaded))
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items()), part


def test_a_single_file_that_is_something_else_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"model.diffusion_model.out.2.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="no SDXL model"):
        load_base(str(path), CPU, config=TINY_BASE)
    save_file({"conditioner.embedders.1.model.ln_final.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(str(path), CPU, config=TINY_BASE)
    pipeline = uneven_pipeline(TINY_BASE)
    pipeline.save_pretrained(tmp_path / "folder")
    whole = load_file(write_single_file(pipeline, path))
    save_file({name: value for name, value in whole.items() if ".out." not in name}, path)
    with pytest.raises(ModelError, match="lacks some of SDXL's weights"):
        load_base(str(path), CPU, config=tmp_path / "folder")
    path.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be read as a base model"):
        load_base(str(path), CPU, config=TINY_BASE)


def test_a_lora_of_another_architecture_is_refused(tmp_path: Path) -> None:
    model = load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU)
    wide = {
        key: torch.zeros(value.shape[0], 2 * value.shape[1])
        for key, value in load_file(GOLDEN / "style.safetensors").items()
    }
    save_file(wide, tmp_path / "wide.safetensors")
    save_file({"transformer.single.lora_A.weight": torch.zeros(4, 8)}, tmp_path / "flux.safetensors")
    for name in ("wide", "flux"):
        with pytest.raises(ModelError, match=f"“{name}”.*another architecture"):
            model.add_style_lora(name, tmp_path / f"{name}.safetensors")
    assert model.style_loras == []


def test_a_refused_lora_leaves_the_pictures_as_they_were(tmp_path: Path) -> None:
    model = load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU)
    before = drawn(model)
    save_file({"transformer.single.lora_A.weight": torch.zeros(4, 8)}, tmp_path / "flux.safetensors")
    with pytest.raises(ModelError):
        model.add_style_lora("flux", tmp_path / "flux.safetensors")
    assert torch.equal(drawn(model), before)


def test_a_missing_or_broken_lora_is_explained(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    for name, sentence in (("none", "no LoRA file"), ("broken", "cannot be read as a LoRA")):
        with pytest.raises(ModelError, match=sentence):
            load_photomaker(
                str(TINY_BASE), TINY_ADAPTER, hardware=CPU, style_loras={name: tmp_path / f"{name}.safetensors"}
            )


def test_a_style_lora_acts_by_its_weight_and_leaves_no_trace() -> None:
    model = load_photomaker(
        str(TINY_BASE), TINY_ADAPTER, hardware=CPU, style_loras={"style": GOLDEN / "style.safetensors"}
    )
    plain, strong = drawn(model), drawn(model, (("style", 1.0),))
    weak = drawn(model, (("style", 0.1),))
    assert (strong - plain).abs().max() > (weak - plain).abs().max() > 1e-5
    assert torch.equal(drawn(model), plain)


def drawn(model: PhotoMaker, styles: tuple[tuple[str, float], ...] = ()) -> torch.Tensor:
    engine = StepEngine(model)
    conditioning = engine.condition("a man img", None, torch.ones(1, 1, 256))
    generation = engine.begin(
        conditioning, GenerationSettings(width=64, height=64, steps=2, seed=1, style_loras=styles)
    )
    while not generation.is_done:
        engine.step([generation])
    return generation.latents


def test_layers_of_an_adapter_that_have_no_place_are_told(tmp_path: Path) -> None:
    module = "lora_weights.unet.up_blocks.7.attentions.0.transformer_blocks.0.attn1.to_q"
    extra = {f"{module}.lora_A.weight": torch.zeros(4, 32), f"{module}.lora_B.weight": torch.zeros(32, 4)}
    save_file(load_file(TINY_ADAPTER) | extra, tmp_path / "more.safetensors")
    model = load_photomaker(TINY_BASE, tmp_path / "more.safetensors", hardware=CPU)
    assert [note for note in model.notes if note.startswith("the adapter's LoRA: 1 of its")] == model.notes
    assert load_photomaker(TINY_BASE, TINY_ADAPTER, hardware=CPU).notes == []
    assert load_photomaker(TINY_BASE, TINY_ADAPTER, hardware=CPU, fuse_lora=True).notes == []
