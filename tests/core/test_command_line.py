"""The two commands as an operator uses them: what they print, what they leave behind, how they end."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file

from photomaker_core.cli import main as core_cli
from photomaker_core.loading.adapter import load_adapter, save_adapter
from photomaker_core.models.id_encoder import IdEncoder
from tests.support.single_file import uneven_pipeline, write_single_file
from tests.support.tiny_model import NEWTON, TINY_ADAPTER, TINY_BASE

TINY = ["--base", str(TINY_BASE), "--adapter", str(TINY_ADAPTER), "--steps", "2"]


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def generate(*options: str, photos: list[Path] | None = None) -> int:
    return core_cli.main(["generate", "--identity", *map(str, photos or NEWTON), *TINY, *options])


def test_generate_draws_pictures_that_their_seeds_reproduce(here: Path) -> None:
    assert generate("--prompt", "a man img in a red hat", "--seed", "7", "--count", "2", "--out", "first") == 0
    assert generate("--prompt", "a man img in a red hat", "--seed", "8", "--out", "second") == 0
    assert sorted(path.name for path in Path("first").iterdir()) == ["7.png", "8.png"]
    assert Path("first/8.png").read_bytes() == Path("second/8.png").read_bytes()
    assert Path("first/7.png").read_bytes() != Path("first/8.png").read_bytes()
    assert size("first/7.png") == (128, 128)


def test_generate_takes_a_single_file_base_aspect_style_and_scheduler(here: Path) -> None:
    pipeline = uneven_pipeline(TINY_BASE)
    pipeline.save_pretrained("configuration")
    write_single_file(pipeline, Path("base.safetensors"))
    encoder = IdEncoder(load_adapter(TINY_ADAPTER).id_encoder.vision_model.config, (128, 160))
    save_adapter(Path("photomaker-v1.safetensors"), encoder, {})
    options = ["--base", "base.safetensors", "--base-config", "configuration", "--aspect", "16:9"]
    options += ["--adapter", "photomaker-v1.safetensors", "--style", "Cinematic", "--scheduler", "dpmpp_2m_karras"]
    assert generate("--prompt", "a man img", "--seed", "1", *options) == 0
    width, height = size("out/1.png")
    assert width > height


def test_generate_says_where_it_put_the_trigger_and_what_it_left_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("--prompt", "a man " + "in a very red hat " * 80) == 0
    printed = capsys.readouterr().out
    assert "The trigger word was inserted: a man img in" in printed
    assert "the model does not see:" in printed


def test_generate_draws_several_people_each_in_their_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = NEWTON
    several = ["--identity", *map(str, others), "--seed", "7", "--prompt", "a man and a woman at the beach"]
    for layout in ("side-by-side", "right-of"):
        assert generate("--layout", layout, "--out", layout, "--steps", "4", *several, photos=[first]) == 0
    assert "inserted: a man img and a woman img at the beach" in capsys.readouterr().out
    assert generate("--out", "found", "--steps", "4", *several, photos=[first]) == 0
    assert len({Path(name, "7.png").read_bytes() for name in ("side-by-side", "right-of", "found")}) == 3
    many = [
        "--identity",
        *[str(first)] * 60,
        "--steps",
        "1",
        "--prompt",
        f"a man img and a woman img {'in the sea ' * 80}",
    ]
    assert generate(*many, photos=[first] * 60) == 0
    assert "find room beside these words; used: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prompt", "a man img and a woman img"], "--identity PHOTO ... once for each"),
        (["--prompt", "a man img", "--identity", str(NEWTON[0])], "1 times for 2 people"),
        (["--prompt", "a man img", "--layout", "left-of"], "not for 1"),
        (["--prompt", "at sea", "--identity", str(NEWTON[0]), "--layout", "above"], "side-by-side, left-of"),
        (["--prompt", "a tree"], "img"),
        (["--prompt", "a man img", "--count", "0"], "--count must be at least 1"),
        (["--prompt", "a man img", "--seed", "-1"], "seed"),
        (["--prompt", "a man img", "--steps", "0"], "Steps must be between"),
        (["--prompt", "a man img", "--aspect", "7:1"], "7:1"),
        (["--prompt", "a man img", "--style", "Baroque"], "Baroque"),
        (["--prompt", "a man img", "--scheduler", "magic"], "magic"),
        (["--prompt", "a man img", "--adapter", "nowhere.bin"], "nowhere.bin"),
        (["--prompt", "a man img", "--base", "nowhere/base"], "nowhere/base"),
        (["--prompt", "a man img", "--lora", "nowhere.safetensors:0.5"], "nowhere.safetensors"),
    ],
)
def test_generate_answers_a_mistake_with_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert generate(*options) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("photomaker: ")
    assert sentence in printed.err
    assert not Path("out").exists() or not list(Path("out").iterdir())


@pytest.mark.parametrize(("content", "sentence"), [(None, "No such file"), (b"hello", "not a picture")])
def test_generate_answers_a_bad_photo_with_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, sentence: str
) -> None:
    if content is not None:
        Path("me.jpg").write_bytes(content)
    assert generate("--prompt", "a man img", photos=[Path("me.jpg")]) == 2
    assert "me.jpg" in (printed := capsys.readouterr().err)
    assert sentence in printed


def training(steps: int, checkpoint_every: int = 2) -> Path:
    config = {
        "stage": "vae",
        "output": "vae",
        "data": {"identities": 2, "pictures": 5},
        "learning_rate": 1e-3,
        "options": {"standardised_on": 16},
        "loop": {
            "steps": steps,
            "batch_size": 2,
            "warmup_steps": 1,
            "schedule": "constant_with_warmup",
            "log_every": 1,
            "checkpoint_every": checkpoint_every,
        },
    }
    path = Path("train.yaml")
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_training_that_was_interrupted_takes_the_same_steps(here: Path) -> None:
    assert core_cli.main(["train", str(training(4)), "--work", "straight"]) == 0
    assert core_cli.main(["train", str(training(2)), "--work", "resumed"]) == 0
    assert core_cli.main(["train", str(training(4)), "--work", "resumed"]) == 0
    exported = [load_file(f"{work}/vae/export/diffusion_pytorch_model.safetensors") for work in ("straight", "resumed")]
    assert all(exported[0][name].equal(exported[1][name]) for name in exported[0])
    for work in ("straight", "resumed"):
        with Path(work, "vae", "log.csv").open(newline="") as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"stage": "magic"}, "Unknown stage 'magic'"),
        ({"loop": {"steps": 1}}, "batch_size"),
        ({"data": {"identities": 2}}, "lacks data.pictures"),
        ({"stage": "text_to_image"}, "lacks inputs.vae"),
        ({"stage": "text_to_image", "inputs": {"vae": "nowhere"}}, "run the stage that makes it first"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_training_answers_a_wrong_configuration_with_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], sentence: str
) -> None:
    path = training(1)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    assert core_cli.main(["train", str(path)]) == 2
    assert sentence in capsys.readouterr().err


def test_training_without_a_configuration(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert core_cli.main(["train", "nowhere.yaml"]) == 2
    assert "no training configuration at nowhere.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["bot.cli", "photomaker_core.cli.main"])
def test_help_is_immediate_and_clean(here: Path, module: str) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", module, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "COMMAND" in done.stdout
    assert "| torch" not in done.stderr


@pytest.mark.parametrize("module", ["bot.cli", "photomaker_core.cli.main"])
def test_a_command_line_starts_without_loading_the_model_libraries(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
