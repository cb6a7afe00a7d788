"""Mistakes at the command line end in one sentence, before any model is loaded where that is possible."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from photomaker_core.cli import main as core_cli
from photomaker_core.cli.evaluation_progress import TimedMethod, spelt_duration
from photomaker_core.evaluation.evaluation_prompts import PORTRAIT_PROMPTS
from photomaker_core.evaluation.methods import Drawer, PromptSpec
from photomaker_core.evaluation.people import Person
from tests.support.tiny_model import GOLDEN, NEWTON, TINY_ADAPTER, TINY_BASE
from tests.support.uploads import rotated_by_exif

TINY = ["--base", str(TINY_BASE), "--adapter", str(TINY_ADAPTER), "--steps", "2"]
GENERATE = ["generate", "--identity", str(NEWTON[0]), *TINY, "--prompt", "a man img"]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail with status 2; returns its one sentence."""
    try:
        status = core_cli.main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("photomaker")
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--guidance", "nan"], "“nan” is no finite number"),
        (["--guidance", "inf"], "no finite number"),
        (["--guidance", "-3"], "below 0"),
        (["--guidance", "five"], "“five” is no number"),
        (["--style-strength", "150"], "150 is no percentage"),
        (["--style-strength", "-1"], "no percentage"),
        (["--style-strength", "nan"], "no finite number"),
        (["--guidance-interval", "nan", "1"], "no finite number"),
        (["--guidance-interval", "0.8", "0.2"], "guidance interval"),
        (["--lora", f"{GOLDEN / 'style.safetensors'}:nan"], "weight lies between -10 and 10"),
        (["--lora", f"{GOLDEN / 'style.safetensors'}:inf"], "weight lies between -10 and 10"),
        (["--base", "~/nowhere/at/all"], "nowhere/at/all"),
        (["--out", str(NEWTON[0])], "is a file. Name a folder"),
        (["--out", "/dev/null/out"], "cannot be made"),
        (["--out", "/proc/out"], "cannot be made"),
        (["--adapter", str(GOLDEN / "photomaker-v2.safetensors")], "Here: --insightface DIR"),
        (["--insightface", "nowhere"], "no InsightFace model at nowhere"),
    ],
)
def test_generate_refuses_with_a_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    told = refusal(capsys, *GENERATE, *options)
    assert sentence in told
    assert "PHOTOMAKER_" not in told


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir(mode=0o500)
    assert "out cannot be written to" in refusal(capsys, *GENERATE)


def test_two_loras_of_the_same_name_are_two(here: Path) -> None:
    for folder in ("first", "second"):
        Path(folder).mkdir()
        shutil.copy(GOLDEN / "style.safetensors", Path(folder, "v1.5.safetensors"))
    loras = ["--lora", "first/v1.5.safetensors:0.5", "--lora", "second/v1.5.safetensors:0.5"]
    assert core_cli.main([*GENERATE, *loras, "--seed", "1", "--out", "two"]) == 0
    assert core_cli.main([*GENERATE, "--lora", "first/v1.5.safetensors:1", "--seed", "1", "--out", "one"]) == 0
    pictures = [torch.tensor(list(Image.open(f"{out}/1.png").tobytes())).float() for out in ("one", "two")]
    assert (pictures[0] - pictures[1]).abs().max() <= 1


def test_generate_turns_phone_photos_upright(here: Path) -> None:
    Path("phone.jpg").write_bytes(rotated_by_exif())
    Image.open("phone.jpg").transpose(Image.Transpose.ROTATE_270).save("upright.png")
    for name in ("phone.jpg", "upright.png"):
        common = ["generate", "--identity", name, *TINY, "--prompt", "a man img", "--seed", "1", "--out", name[:3]]
        assert core_cli.main(common) == 0
    pictures = [torch.tensor(list(Image.open(f"{out}/1.png").tobytes())).float() for out in ("pho", "upr")]
    assert (pictures[0] - pictures[1]).abs().max() <= 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["parity", "nowhere"], "no golden cases"),
        (["parity", str(GOLDEN), "--photos", "nowhere"], "nowhere"),
        (["parity", str(GOLDEN), "--base", "nowhere/at/all"], "nowhere/at/all"),
        (["parity", str(GOLDEN), "--adapters", "nowhere"], "nowhere"),
        (["train", "dreambooth", "--photos", str(NEWTON[0]), "--work", str(NEWTON[0])], "is a file"),
        (["train", "dreambooth", "--photos", "nowhere.jpg"], "nowhere.jpg cannot be read"),
        (["train", "dreambooth", "--photos", str(NEWTON[0]), "--learning-rate", "nan"], "no finite number"),
        (["train", "dreambooth", "--photos", str(NEWTON[0]), "--base", "some/base"], "some/base"),
        (["train", "dreambooth", "--photos", "/dev/zero"], "larger than 10 MB"),
        (["generate", "--identity", "/dev/zero", "--prompt", "a man img"], "larger than 10 MB"),
        (["train", "."], "."),
        (["train", "/dev/null"], "is not a valid training configuration: it holds no keys"),
        (["train", str(NEWTON[0])], "is not a valid training configuration"),
        (["evaluate", "--out", str(NEWTON[0])], "is a file"),
        (["evaluate", "--style-strength", "20", "150"], "no percentage"),
        (["evaluate", "--drawn", "0"], "--drawn must be at least 1"),
        (["evaluate", "--people", "nowhere"], "nowhere"),
        (["evaluate", "--prompts", "nowhere.yaml"], "nowhere.yaml"),
        (["evaluate", "--networks", "photo", "--drawn", "1", "--lpips", "nowhere.pt"], "nowhere.pt"),
        (["evaluate", "--networks", "photo", "--drawn", "1", "--clip", "some/clip"], "cannot be loaded"),
        (["bench", "--runs", "0"], "--runs must be at least 1"),
        (["bench", "--out", str(NEWTON[0])], "is a file"),
    ],
)
def test_the_other_commands_refuse_with_a_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert sentence in refusal(capsys, *arguments)


def test_training_that_needs_the_hub_says_so_offline(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration = Path(__file__).parents[2] / "configs" / "sdxl-v1.yaml"
    assert refusal(capsys, "train", str(configuration), "--work", "runs")


def test_parity_finds_the_photos_beside_the_cases(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = Path("golden")
    cases.mkdir()
    for name in ("v1-one.json", "v1-one.safetensors", "photomaker-v1.safetensors", "tiny-sdxl", "photos"):
        (cases / name).symlink_to(GOLDEN / name)
    assert core_cli.main(["parity", "golden"]) == 0
    assert "1 of 1 cases within tolerance" in capsys.readouterr().out


def test_evaluate_says_where_its_networks_come_from(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        core_cli.main(["evaluate", "--help"])
    shown = capsys.readouterr().out
    for source in ("openai/clip-vit-large-patch14", "facebook/dino-vits16", "vgg16.pt", "inception-2015-12-05.pt"):
        assert source in shown
    assert "Hugging Face hub" in shown


def test_evaluate_says_how_long_it_takes_after_the_first_picture(capsys: pytest.CaptureFixture[str]) -> None:
    class Instant:
        name = "Instant"

        def personalise(self, person: Person) -> Drawer:
            return lambda wishes: [Image.new("RGB", (8, 8)) for _ in wishes]

    draw = TimedMethod(Instant(), people=20, pictures_each=40).personalise(Person("ada", "woman", ()))
    wish = PromptSpec(PORTRAIT_PROMPTS[0], 1)
    assert len(draw([wish])) == 1
    assert len(draw([wish] * 3)) == 3
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "Instant: 20 people, 40 pictures each; the first took 0.0 s" in told
    assert [spelt_duration(seconds) for seconds in (40, 720, 7500)] == ["40 s", "12 min", "2 h 05 min"]


def test_a_broken_lora_is_told_by_the_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = {
        name: torch.full_like(value, torch.nan) for name, value in load_file(GOLDEN / "style.safetensors").items()
    }
    save_file(weights, "nan.safetensors")
    assert "NaN" in refusal(capsys, *GENERATE, "--lora", "nan.safetensors")
