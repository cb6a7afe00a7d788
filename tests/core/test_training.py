"""The code that trains the real model, on a folder of pictures and a tiny random SDXL."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPVisionModel, CLIPVisionModelWithProjection

from photomaker_core.cli import main as cli
from photomaker_core.conditioning.prompt_tokens import identity_prompt
from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD, place_trigger
from photomaker_core.errors import UserError
from photomaker_core.loading.adapter import load_adapter
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.nano.attributes import ATTRIBUTES
from photomaker_core.nano.captions import caption
from photomaker_core.nano.judge import load_judge
from photomaker_core.nano.portrait_set import identity_number, portrait_set, scene_number
from photomaker_core.nano.portraits import SIZE_PX, draw
from photomaker_core.training import configuration as configuration_module
from photomaker_core.training import loop_settings
from photomaker_core.training.configuration import load_config, run
from photomaker_core.training.consistency_stage import ConsistencyStage
from photomaker_core.training.lora import LORA_FILE
from photomaker_core.training.photo_folder import FolderPictures
from photomaker_core.training.photomaker_stage import ADAPTER_FILE
from photomaker_core.training.pictures import Example, tokenise
from photomaker_core.training.portrait_latents import PortraitLatents
from tests.support.tiny_model import NEWTON, TINY_ADAPTER, TINY_BASE

SDXL_CONFIG = Path(__file__).parents[2] / "configs" / "sdxl-v1.yaml"
SIDE_PX = 64


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two people with three pictures each, and one with a single picture."""
    folder = tmp_path / "dataset"
    for person, count in ((1, 3), (2, 3), (3, 1)):
        home = folder / f"person-{person}"
        home.mkdir(parents=True)
        for number in range(count):
            identity = identity_number(person)
            scene = replace(scene_number(person, number), framing="portrait", companions=(), place=0)
            picture, mask = draw(identity, scene)
            picture.save(home / f"{number}.jpg")
            mask.save(home / f"{number}.mask.png")
            (home / f"{number}.txt").write_text(caption(identity, scene, Random(0), describe_identity=True))
    return folder


@pytest.fixture
def pictures(dataset: Path, tiny_model: PhotoMaker) -> FolderPictures:
    return FolderPictures(dataset, tiny_model.base.vae, SIDE_PX)


def configuration(dataset: Path, tmp_path: Path) -> dict[str, Any]:
    """The shipped SDXL configuration, pointed at a tiny base and a folder of drawn pictures."""
    CLIPVisionModel(load_adapter(TINY_ADAPTER).id_encoder.vision_model.config).save_pretrained(tmp_path / "vision")
    config: dict[str, Any] = yaml.safe_load(SDXL_CONFIG.read_text())
    config["data"] |= {"folder": str(dataset), "side_px": SIDE_PX}
    config["inputs"] = {"base": str(TINY_BASE), "vision": str(tmp_path / "vision")}
    config["loop"] |= {"steps": 2, "batch_size": 2, "warmup_steps": 1, "log_every": 1, "sample_every": 0}
    return config


def train(config: dict[str, Any], tmp_path: Path) -> int:
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(config))
    return cli.main(["train", str(path), "--work", str(tmp_path / "runs")])


def test_the_sdxl_configuration_is_the_papers() -> None:
    config = yaml.safe_load(SDXL_CONFIG.read_text())
    loop, options = config["loop"], config["options"]
    assert 8 * loop["batch_size"] * loop["gradient_accumulation"] == 48
    assert (config["learning_rate"], options["id_learning_rate"]) == (1e-4, 1e-5)
    assert (options["lora_rank"], options["null_text"], options["masked_loss"]) == (64, 0.1, 0.5)
    assert (options["most_id_photos"], config["data"]["side_px"]) == (4, 1024)


def test_it_trains_an_adapter_that_draws(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    assert train(config, tmp_path) == 0
    adapter = tmp_path / "runs" / "sdxl-v1" / "export" / "photomaker-v1.safetensors"
    weights = load_file(adapter)
    moved = [name for name in weights if name.endswith("lora.up.weight") and weights[name].abs().max() > 0]
    assert moved
    assert len(moved) == sum(name.endswith("lora.up.weight") for name in weights)
    out = tmp_path / "out"
    arguments = ["--base", str(TINY_BASE), "--adapter", str(adapter), "--steps", "2", "--out", str(out)]
    assert cli.main(["generate", "--identity", str(NEWTON[0]), "--prompt", "a man img", *arguments]) == 0
    assert len(list(out.iterdir())) == 1


def test_one_process_trains_in_one_precision_after_the_other(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    config["options"]["base_dtype"] = "fp32"
    for precision in ("no", "bf16"):
        config["output"] = config["loop"]["mixed_precision"] = precision
        assert train(config, tmp_path) == 0


def test_the_rest_of_the_vision_tower_is_trained_too(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    before = load_file(tmp_path / "vision" / "model.safetensors")
    config["options"]["id_learning_rate"] = 1e-2
    assert train(config, tmp_path) == 0
    after = load_file(tmp_path / "runs" / "sdxl-v1" / "export" / "photomaker-v1.safetensors")
    name = "encoder.layers.0.self_attn.q_proj.weight"
    old = next(value for key, value in before.items() if key.endswith(name))
    new = after[f"id_encoder.vision_model.{name}"].float()
    assert (old - new).abs().max() > 1e-3


def test_clips_own_visual_projection_is_kept(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    config["options"]["id_learning_rate"] = config["learning_rate"] = 0.0
    encoder = load_adapter(TINY_ADAPTER).id_encoder
    vision = encoder.vision_model.config
    vision.projection_dim = encoder.visual_projection.out_features
    clip = CLIPVisionModelWithProjection(vision)
    clip.save_pretrained(tmp_path / "vision")
    assert train(config, tmp_path) == 0
    adapter = load_adapter(tmp_path / "runs" / "sdxl-v1" / "export" / ADAPTER_FILE).id_encoder
    kept, own = adapter.visual_projection.weight, clip.visual_projection.weight
    torch.testing.assert_close(kept.float(), own.detach(), rtol=4e-3, atol=1e-4)


def test_the_vision_layers_that_are_tuned_are_an_option(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    before = load_file(tmp_path / "vision" / "model.safetensors")
    config["options"] |= {"id_learning_rate": 1e-2, "vision_layers": 1}
    assert train(config, tmp_path) == 0
    after = load_file(tmp_path / "runs" / "sdxl-v1" / "export" / ADAPTER_FILE)
    layers = load_adapter(TINY_ADAPTER).id_encoder.vision_model.config.num_hidden_layers
    changes = []
    for layer in (0, layers - 1):
        name = f"encoder.layers.{layer}.self_attn.q_proj.weight"
        old = next(value for key, value in before.items() if key.endswith(name))
        changes.append(float((old - after[f"id_encoder.vision_model.{name}"].float()).abs().max()))
    assert changes[0] < 1e-3 < changes[1]
    config["options"]["vision_layers"] = layers + 1
    assert train(config | {"output": "more"}, tmp_path) == 2


def test_the_autoencoder_encodes_in_float32_where_it_says_so(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(TINY_BASE, tmp_path / "base")
    path = tmp_path / "base" / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"force_upcast": True}))
    config = configuration(dataset, tmp_path)
    config["inputs"]["base"] = str(tmp_path / "base")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config))
    seen = []
    monkeypatch.setattr(configuration_module, "_pictures", lambda _, __, vae: seen.append(vae.dtype))
    configuration_module._photomaker(load_config(tmp_path / "train.yaml"), tmp_path)
    assert seen == [torch.float32]


def test_training_goes_on_from_an_adapter_with_its_lora(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    assert train(config, tmp_path) == 0
    start = "sdxl-v1/export/photomaker-v1.safetensors"
    again = config | {"output": "again", "inputs": {"base": str(TINY_BASE), "start": start}, "learning_rate": 0.0}
    again["options"] |= {"id_learning_rate": 0.0}
    assert train(again, tmp_path) == 0
    first, second = (load_file(tmp_path / "runs" / run / "export" / Path(start).name) for run in ("sdxl-v1", "again"))
    assert first.keys() == second.keys()
    for name, weight in first.items():
        # The base is in bfloat16, and so is the LoRA while it is put into it.
        torch.testing.assert_close(second[name], weight, rtol=4e-3, atol=1e-5, msg=name)
    again["output"], again["options"]["lora_rank"] = "other", 4
    assert train(again, tmp_path) == 2


def test_an_ablated_adapter_is_another(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    exports = []
    for name, option in (("whole", {}), ("average", {"average_photos": True}), ("blind", {"fuse_class_word": False})):
        changed = config | {"output": name, "options": config["options"] | option | {"id_learning_rate": 1e-3}}
        assert train(changed, tmp_path) == 0
        exports.append(load_file(tmp_path / "runs" / name / "export" / "photomaker-v1.safetensors"))
    weight = "id_encoder.fuse_module.mlp1.fc1.weight"
    whole, average, blind = (one[weight].float() for one in exports)
    assert (whole - average).abs().max() > 1e-4
    assert (whole - blind).abs().max() > 1e-4
    tower = config | {"output": "tower", "inputs": {"base": str(TINY_BASE), "vision": str(TINY_ADAPTER)}}
    assert train(tower, tmp_path) == 0


def test_a_base_is_distilled_into_a_lora_that_draws_in_few_steps(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    config |= {"stage": "consistency", "output": "lcm", "inputs": {"base": str(TINY_BASE)}}
    config["options"] = {"lora_rank": 4, "guidance": [2.0, 3.0]}
    assert train(config, tmp_path) == 0
    weights = load_file(tmp_path / "runs" / "lcm" / "export" / LORA_FILE)
    assert all(value.abs().max() > 0 for name, value in weights.items() if ".lora_B." in name or ".lora.up." in name)
    assert len(weights) > 40
    lora, out = tmp_path / "runs" / "lcm" / "export" / LORA_FILE, tmp_path / "out"
    arguments = ["--base", str(TINY_BASE), "--adapter", str(TINY_ADAPTER), "--out", str(out), "--lora", str(lora)]
    few = ["--scheduler", "lcm", "--steps", "4", "--guidance", "1"]
    assert cli.main(["generate", "--identity", str(NEWTON[0]), "--prompt", "a man img", *arguments, *few]) == 0
    assert len(list(out.iterdir())) == 1


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
def test_the_teacher_splits_latents_and_steps_by_the_solver(
    pictures: FolderPictures, tiny_model: PhotoMaker, predicts: str
) -> None:
    pipeline = copy.deepcopy(tiny_model.base.pipeline)
    pipeline.unload_lora_weights()
    pipeline.scheduler.register_to_config(prediction_type=predicts)
    stage = ConsistencyStage(pipeline, pictures, 1e-3, lora_rank=2)
    text = tiny_model.base.text.encode("a man")
    noisy, timesteps, zero = torch.randn(1, 4, 8, 8), torch.tensor([499]), torch.tensor([0])
    with torch.no_grad():
        clean, noise = stage._clean_and_noise(noisy, timesteps, text)
        signal, spread = stage._signal_and_spread(timesteps)
        torch.testing.assert_close(signal * clean + spread * noise, noisy)
        stays = stage._teacher_step(noisy, timesteps, timesteps, text, torch.ones(1, 1, 1, 1))
        torch.testing.assert_close(stays, noisy)
        torch.testing.assert_close(stage._consistent(noisy, zero, text), noisy)


def test_people_with_one_picture_are_left_out(pictures: FolderPictures) -> None:
    examples = pictures.random_examples(50, Random(0))
    assert {example.identity for example in examples} == {0, 1}
    for example in examples:
        photos = pictures.id_photos(example, 0, Random(1), most=4)
        assert 1 <= len(photos) <= 2
        assert example not in photos
        assert {photo.identity for photo in photos} == {example.identity}


def test_targets_come_with_masks_of_their_latents_size(pictures: FolderPictures) -> None:
    examples = [Example(0, 0), Example(1, 2)]
    latents, masks = pictures.latents(examples), pictures.masks(examples, torch.ones(2, 1).bool())
    assert masks.shape == (2, 1, *latents.shape[2:])
    assert 0.15 < float(masks.mean()) < 0.9
    assert torch.isfinite(latents).all()


def test_id_photos_show_the_person_on_noise(dataset: Path, tiny_model: PhotoMaker) -> None:
    for path in (dataset / "person-1").glob("*.jpg"):
        Image.new("RGB", (100, 100), (255, 0, 0)).save(path.with_suffix(".png"))
        path.unlink()
        mask = Image.new("L", (100, 100), 0)
        mask.paste(255, (40, 40, 60, 60))
        mask.save(path.with_suffix(".mask.png"))
    pictures = FolderPictures(dataset, tiny_model.base.vae, SIDE_PX)
    pixels = pictures.id_pixels([Example(0, 0)], 24, Random(0))[0].permute(1, 2, 0)
    person = pixels[12, 12]
    assert torch.allclose(pixels[6:18, 6:18], person.expand(12, 12, 3), atol=0.1), "the person fills the middle"
    assert float(pixels[:2].std((0, 1)).min()) > 0.3, "behind them there is nothing to learn from"
    other = pictures.id_pixels([Example(0, 0)], 24, Random(1))[0].permute(1, 2, 0)
    assert (other[:2] - pixels[:2]).abs().max() > 0.3, "which changes from time to time"


def test_what_cannot_be_trained_on_is_named_and_left_out(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, long = dataset / "person-1" / "0.jpg", dataset / "person-2" / "1.txt"
    broken.write_bytes(broken.read_bytes()[:200])
    long.write_text("at the beach " * 40 + "a man")
    config = configuration(dataset, tmp_path)
    config["loop"] |= {"steps": 6}
    assert train(config, tmp_path) == 0
    warnings = [record.getMessage() for record in caplog.records if "is left out" in record.getMessage()]
    assert len(warnings) == 2
    assert sorted(warning.count(str(path)) for warning in warnings for path in (broken, long.with_suffix(".jpg"))) == [
        0, 0, 1, 1
    ]  # fmt: skip
    for path in dataset.glob("*/*.jpg"):
        path.write_bytes(b"")
    assert train(config | {"output": "nothing"}, tmp_path) == 2


def test_captions_that_cannot_be_used_are_counted_and_named(
    dataset: Path, tiny_model: PhotoMaker, caplog: pytest.LogCaptureFixture
) -> None:
    (dataset / "person-1" / "0.txt").write_text("a red hat")
    (dataset / "person-2" / "1.txt").unlink()
    pictures = FolderPictures(dataset, tiny_model.base.vae, SIDE_PX)
    (warning,) = (one.getMessage() for one in caplog.records if "captions" in one.getMessage())
    assert warning.startswith("2 pictures")
    assert "0.txt cannot be used" in warning
    assert "has no caption 1.txt" in warning
    assert len(set(pictures.random_examples(50, Random(0)))) == 4
    (dataset / "person-1" / "1.txt").unlink()
    (dataset / "person-2" / "2.txt").unlink()
    with pytest.raises(UserError, match=r"nobody with two pictures.*4 pictures have no usable caption"):
        FolderPictures(dataset, tiny_model.base.vae, SIDE_PX)


def test_a_run_over_bad_pictures_that_was_stopped_ends_with_the_same_weights(dataset: Path, tmp_path: Path) -> None:
    (dataset / "person-1" / "0.jpg").write_bytes(b"nothing")
    (dataset / "person-1" / "1.txt").write_text("at the beach " * 40 + "a man")
    (dataset / "person-2" / "1.mask.png").write_bytes((dataset / "person-2" / "1.mask.png").read_bytes()[:60])
    config = configuration(dataset, tmp_path)
    config["options"] |= {"base_dtype": "fp32", "lora_rank": 4, "id_learning_rate": 1e-3}
    config["loop"] |= {"mixed_precision": "no", "sample_every": 0, "checkpoint_every": 1}
    for name, ends in (("straight", (6,)), ("stopped", (2, 3, 4, 6))):
        for steps in ends:
            config["loop"]["steps"] = steps
            assert train(config | {"output": name}, tmp_path) == 0
    first, second = (load_file(tmp_path / "runs" / name / "export" / ADAPTER_FILE) for name in ("straight", "stopped"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_picture_without_mask_counts_whole(dataset: Path, tiny_model: PhotoMaker) -> None:
    for path in dataset.glob("*/*.mask.png"):
        path.unlink()
    pictures = FolderPictures(dataset, tiny_model.base.vae, SIDE_PX)
    assert pictures.masks([Example(0, 0)], torch.ones(1, 1).bool()).min() == 1
    assert pictures.id_pixels([Example(0, 0)], 24, Random(0)).shape == (1, 3, 24, 24)


def test_a_wrong_dataset_is_answered_with_one_sentence(dataset: Path, tiny_model: PhotoMaker) -> None:
    def problem() -> str:
        with pytest.raises(UserError) as caught:
            FolderPictures(dataset, tiny_model.base.vae, SIDE_PX).latents([Example(0, 0)])
        return str(caught.value)

    first = dataset / "person-1" / "0.jpg"
    first.write_bytes(first.read_bytes()[:200])
    assert "0.jpg cannot be read" in problem()
    for person in dataset.iterdir():
        shutil.rmtree(person)
    assert "holds nobody with two pictures" in problem()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": {"folder": "nowhere"}}, "which does not exist"),
        ({"options": {"lora_rank": 4, "id_learning_rate": 1e-5, "base_dtype": "int1"}}, "must be one of fp32"),
        ({"loop": {"steps": 1, "batch_size": 1}}, "needs loop.mixed_precision"),
        ({"options": {"id_learning_rate": 1e-5}}, "lacks options.lora_rank"),
    ],
)
def test_a_wrong_configuration_is_answered_with_one_sentence(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], sentence: str
) -> None:
    assert train(configuration(dataset, tmp_path) | change, tmp_path) == 2
    assert sentence in capsys.readouterr().err


def test_class_words_make_room_as_the_prompt_does(tiny_model: PhotoMaker) -> None:
    text = tiny_model.base.text
    captions = ["a photo of a man in a red hat", "a woman img", "a boy and a girl img " + "at the beach " * 40]
    counts = [3, 1, 4]
    expanded = tokenise(text, captions).expanded(torch.tensor(counts).unsqueeze(1))
    for row, (sentence, count) in enumerate(zip(captions, counts, strict=True)):
        for ids, tokenizer in zip((expanded.first, expanded.second), text.tokenizers, strict=True):
            expected = identity_prompt(tokenizer, place_trigger(sentence).text, DEFAULT_TRIGGER_WORD, count)
            assert ids[row].tolist() == expected.input_ids
            assert expanded.class_tokens[row].tolist() == [expected.class_tokens.start]


@pytest.fixture(scope="module")
def nano_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of nano's stages, two steps each on two dozen pictures."""
    work = tmp_path_factory.mktemp("nano")
    for stage in ("vae", "vision", "base", "photomaker", "judge"):
        config = load_config(SDXL_CONFIG.with_name(f"nano-{stage}.yaml"))
        loop = replace(config.loop, steps=2, batch_size=2, log_every=1, sample_every=0, most_seconds=None)
        # Few CPUs have bfloat16; others take ten times as long for it.
        options = config.options | ({"standardised_on": 64} if stage == "vae" else {})
        data = {"identities": 4, "pictures": 6}
        run(replace(config, loop=replace(loop, mixed_precision="no"), data=data, options=options), work)
    return work


def test_nano_is_trained_from_its_configurations(nano_runs: Path) -> None:
    model = load_photomaker(str(nano_runs / "base" / "export"), nano_runs / "photomaker" / "export" / ADAPTER_FILE)
    assert model.base.side_px == SIZE_PX
    judge = load_judge(nano_runs / "judge" / "export" / "judge.safetensors")
    assert judge.attributes(judge.features(torch.rand(1, 3, SIZE_PX, SIZE_PX)).pooled)[0].keys() == ATTRIBUTES.keys()
    assert len(list(nano_runs.glob("latents-*.npy"))) == 1, "the exported base's autoencoder is the same"


def test_kept_latents_are_those_of_their_people(tmp_path: Path, tiny_model: PhotoMaker) -> None:
    vae = tiny_model.base.vae
    latents = [PortraitLatents.encoded(portrait_set(tmp_path, 2, 2, first), vae, tmp_path) for first in (0, 10**6, 0)]
    known, held_out, again = (one.latents([Example(0, 0), Example(1, 1)]) for one in latents)
    assert torch.equal(known, again)
    assert not torch.equal(known, held_out)


def test_the_autoencoders_latents_have_the_spread_of_noise(nano_runs: Path) -> None:
    (path,) = nano_runs.glob("latents-*.npy")
    latents = np.load(path).astype(np.float32)
    assert np.abs(latents.mean((0, 2, 3))).max() < 0.3
    assert np.abs(latents.std((0, 2, 3)) - 1).max() < 0.3


def test_masks_are_the_share_of_the_person(pictures: FolderPictures, dataset: Path) -> None:
    drawn = np.asarray(Image.open(dataset / "person-1" / "0.mask.png")) / 255
    assert float(pictures.masks([Example(0, 0)], torch.ones(1, 1).bool()).mean()) == pytest.approx(
        drawn.mean(), abs=0.01
    )


def test_snapshots_draw_and_samples_show_people_who_are_not_trained_on(dataset: Path, tmp_path: Path) -> None:
    config = configuration(dataset, tmp_path)
    (tmp_path / "held-out").mkdir()
    (dataset / "person-2").rename(tmp_path / "held-out" / "person-2")
    config["validation"] = {"folder": str(tmp_path / "held-out")}
    config["learning_rate"] = 0.0
    config["options"] |= {"id_learning_rate": 0.0, "base_dtype": "fp32"}
    config["options"] |= {"sample_people": 1, "sample_prompts": ["a person in a space suit"]}
    every = {"sample_every": 1, "snapshot_every": 1, "validate_every": 1, "validation_batches": 2}
    config["loop"] |= every | {"mixed_precision": "no"}
    assert train(config, tmp_path) == 0
    run_folder = tmp_path / "runs" / "sdxl-v1"
    first, second = (run_folder / f"sample-00000{step}.png" for step in (1, 2))
    assert first.read_bytes() == second.read_bytes(), "the same people, prompts and noise"
    with Image.open(first) as sheet:
        assert sheet.width > 3 * SIDE_PX
        assert sheet.height == SIDE_PX
    losses = [row.split(",")[1] for row in (run_folder / "validation.csv").read_text().splitlines()[1:]]
    assert len(losses) == 2
    assert losses[0] == losses[1], "the same pictures, timesteps and noise"
    arguments = ["--base", str(TINY_BASE), "--steps", "2", "--out", str(tmp_path / "out")]
    snapshots = sorted((run_folder / "snapshots").glob("*/*.safetensors"))
    assert [path.parent.name for path in snapshots] == ["000001", "000002"]
    request = ["--adapter", str(snapshots[0]), "--identity", str(NEWTON[0]), "--prompt", "a man img"]
    assert cli.main(["generate", *request, *arguments]) == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tensorboard": True}, "pip install 'photomaker-bot[train]'"),
        ({"optimizer": "adamw8bit"}, "adamw8bit needs"),
        ({"validate_every": 5}, "needs held-out pictures"),
        ({"mixed_precision": "fp8"}, "must be one of no, bf16, fp16"),
    ],
)
def test_what_this_machine_lacks_is_said_before_the_run_begins(
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    sentence: str,
) -> None:
    monkeypatch.setattr(loop_settings, "find_spec", lambda _: None)
    config = configuration(dataset, tmp_path)
    config["loop"] |= change
    assert train(config, tmp_path) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "runs" / "sdxl-v1").exists()


def test_validation_of_what_is_trained_on_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(dataset, tmp_path)
    assert train(config | {"validation": config["data"]}, tmp_path) == 2
    assert "people who are not trained on" in capsys.readouterr().err
    assert train(config | {"validation": {"folder": "nowhere"}}, tmp_path) == 2
    assert "which does not exist" in capsys.readouterr().err
    config["options"]["sample_prompts"] = ["a red hat"]
    assert train(config, tmp_path) == 2
    assert "options.sample_prompts cannot be used" in capsys.readouterr().err
