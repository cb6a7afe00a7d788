"""Training reads what the dataset pipeline packs: everything once an epoch, shared out, going on at the same sample."""

from __future__ import annotations

import copy
import io
import itertools
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import CLIPVisionModel

from photomaker_core.cli import main as cli
from photomaker_core.errors import UserError
from photomaker_core.loading.adapter import load_adapter
from photomaker_core.loading.base_model import load_base
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.models.text_encoders import TextEncoders
from photomaker_core.training.photo_folder import FolderPictures
from photomaker_core.training.shard_pictures import Position, ShardPictures, ShardStream
from tests.core.dataset.builders import packed_shards
from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE

PEOPLE, PICTURES = 6, 3
ALL = PEOPLE * PICTURES


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed_shards(tmp_path_factory.mktemp("packed"), PEOPLE, PICTURES)


def keys(stream: Iterator[Any], count: int) -> list[str]:
    return [person[index].key for person, index in itertools.islice(stream, count)]


@pytest.mark.parametrize("buffer", [1, 4, 100])
def test_an_epoch_has_every_picture_once_in_an_order_of_its_own(shards: Path, buffer: int) -> None:
    seen = keys(iter(ShardStream(shards, Position(), buffer)), 3 * ALL)
    epochs = [seen[start : start + ALL] for start in range(0, 3 * ALL, ALL)]
    assert all(len(set(epoch)) == ALL for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_processes_share_the_pictures(shards: Path) -> None:
    shares = [keys(iter(ShardStream(shards, Position(rank=rank, world=3))), ALL // 3) for rank in range(3)]
    assert Counter(itertools.chain(*shares)) == Counter(keys(iter(ShardStream(shards, Position())), ALL))


@pytest.mark.parametrize("first", [0, 1, ALL - 1, ALL, 2 * ALL + 5])
def test_a_stream_goes_on_at_the_same_sample(shards: Path, first: int) -> None:
    whole = keys(iter(ShardStream(shards, Position(seed=7), 4)), first + ALL)
    assert keys(iter(ShardStream(shards, Position(seed=7, first=first), 4)), ALL) == whole[first:]


def test_more_processes_than_shards_are_refused(shards: Path) -> None:
    with pytest.raises(UserError, match="3 shards"):
        ShardStream(shards, Position(rank=0, world=4))


@pytest.mark.parametrize("workers", [0, 1])
def test_shards_and_folder_give_the_same_tensors(
    shards: Path, tmp_path: Path, tiny_model: PhotoMaker, workers: int
) -> None:
    vae = tiny_model.base.vae
    packed = ShardPictures(shards, vae, 64, Position(), workers=workers, latent_cache=tmp_path / "latents")
    examples = packed.random_examples(4, Random(0))
    folder = tmp_path / "folder"
    for number in range(4):
        (folder / str(number)).mkdir(parents=True)
        for index, sample in enumerate(packed._batch[number].person):
            path = folder / str(number) / f"{index}.jpg"
            path.write_bytes(sample.picture)
            path.with_suffix(".mask.png").write_bytes(sample.mask)
            path.with_suffix(".txt").write_text(sample.caption)
    loose = FolderPictures(folder, vae, 64)
    text = TextEncoders.of(load_base(str(TINY_BASE), CPU).pipeline)
    prompts, same = (one.prompts(examples, text, Random(0), describe_identity=False) for one in (packed, loose))
    assert torch.equal(prompts.first, same.first)
    assert torch.equal(prompts.second, same.second)
    assert torch.equal(prompts.class_tokens, same.class_tokens)
    torch.testing.assert_close(packed.latents(examples), loose.latents(examples), atol=2e-3, rtol=0)
    torch.testing.assert_close(packed.latents(examples), loose.latents(examples), atol=4e-3, rtol=0)
    meant = prompts.class_tokens >= 0
    torch.testing.assert_close(packed.masks(examples, meant), loose.masks(examples, meant))
    photos = [packed.id_photos(example, 0, Random(1), 4) for example in examples]
    assert photos == [loose.id_photos(example, 0, Random(1), 4) for example in examples]
    flat = [one for group in photos for one in group]
    torch.testing.assert_close(
        packed.id_pixels(flat, 32, Random(2)), loose.id_pixels(flat, 32, Random(2)), atol=0.2, rtol=0
    )
    assert len(list((tmp_path / "latents").glob("*.npy"))) == 4


def configuration(shards: Path, tmp_path: Path, steps: int, **loop: int) -> Path:
    torch.manual_seed(0)
    CLIPVisionModel(load_adapter(TINY_ADAPTER).id_encoder.vision_model.config).save_pretrained(tmp_path / "vision")
    config = {
        "stage": "photomaker",
        "output": "run",
        "data": {"shards": str(shards), "side_px": 64, "workers": 0, "buffer": 4},
        "inputs": {"base": str(TINY_BASE), "vision": str(tmp_path / "vision")},
        "learning_rate": 1e-3,
        "options": {"lora_rank": 4, "id_learning_rate": 1e-3, "snr_gamma": None, "sample_people": 1},
        "loop": {
            "steps": steps, "batch_size": 2, "warmup_steps": 1, "schedule": "constant_with_warmup",
            "sample_every": 0, "checkpoint_every": 2, "ema_decay": 0.9, **loop,
        },
    }  # fmt: skip
    if loop:
        config["validation"] = {"shards": str(shards), "buffer": 1}
    path = tmp_path / f"{steps}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_kept_latents_are_those_of_their_autoencoder(shards: Path, tmp_path: Path, tiny_model: PhotoMaker) -> None:
    other = copy.deepcopy(tiny_model.base.vae)
    torch.nn.init.normal_(other.quant_conv.bias)
    for vae in (tiny_model.base.vae, other, tiny_model.base.vae):
        kept = ShardPictures(shards, vae, 64, Position(), latent_cache=tmp_path / "latents")
        fresh = ShardPictures(shards, vae, 64, Position())
        examples = kept.random_examples(2, Random(0))
        assert examples == fresh.random_examples(2, Random(0))
        torch.testing.assert_close(kept.latents(examples), fresh.latents(examples), atol=4e-3, rtol=0)
    assert len(list((tmp_path / "latents").glob("*.npy"))) == 4


def stopped_and_straight(shards: Path, folder: Path) -> list[dict[str, torch.Tensor]]:
    """What two runs of four steps export, of which the first was stopped after two."""
    exported = []
    for name, runs in (("stopped", (2, 4)), ("straight", (4,))):
        work = folder / name
        work.mkdir()
        for steps in runs:
            assert cli.main(["train", str(configuration(shards, work, steps)), "--work", str(work)]) == 0
        exported.append(load_file(work / "run" / "export" / "photomaker-v1.safetensors"))
    return exported


def test_a_training_from_shards_that_was_stopped_ends_like_one_that_was_not(shards: Path, tmp_path: Path) -> None:
    first, second = stopped_and_straight(shards, tmp_path)
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], msg=name)


def test_validation_takes_nothing_from_the_stream_of_training(shards: Path, tmp_path: Path) -> None:
    every = {"sample_every": 2, "validate_every": 1, "validation_batches": 1}
    for name, loop in (("plain", {}), ("validated", every)):
        (tmp_path / name).mkdir()
        path = configuration(shards, tmp_path / name, 2, **loop)
        assert cli.main(["train", str(path), "--work", str(tmp_path / name)]) == 0
    first, second = (
        load_file(tmp_path / name / "run" / "export" / "photomaker-v1.safetensors") for name in ("plain", "validated")
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert (tmp_path / "validated" / "run" / "sample-000002.png").exists()


def test_a_missing_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", str(configuration(tmp_path / "none", tmp_path, 1)), "--work", str(tmp_path)]) == 2
    assert "data.shards" in capsys.readouterr().err


def test_bad_pictures_in_shards_are_named_and_shift_no_resumed_run(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    seen = 0
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as old, tarfile.open(bad / path.name, "w") as new:
            for member in old:
                content = old.extractfile(member).read()  # type: ignore[union-attr]
                if member.name.endswith(".jpg"):
                    seen += 1
                    # All three of the first person are broken, and one of each of the others.
                    content = content[:100] if seen <= PICTURES or seen % PICTURES == 0 else content
                if member.name.endswith(".txt") and seen % PICTURES == 1:
                    content = b"at the beach " * 40 + b"a man"
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    first, second = stopped_and_straight(bad, tmp_path)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert any("it cannot be read" in record.getMessage() for record in caplog.records)
