"""Our tensors against the reference's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from photomaker_core.cli.main import main
from photomaker_core.evaluation.parity import GoldenFolders, case_names, run_case
from photomaker_core.loading.adapter import load_adapter
from tests.support.tiny_model import GOLDEN, TINY_BASE

FOLDERS = GoldenFolders(GOLDEN, GOLDEN, TINY_BASE, GOLDEN / "photos")


@pytest.mark.parametrize("name", case_names(FOLDERS))
def test_every_tensor_is_within_tolerance(name: str) -> None:
    result = run_case(FOLDERS, name)
    assert "latents_per_step" in result.differences
    assert result.passed, result.differences


def test_v1_gives_one_token_a_photo_and_v2_two() -> None:
    """The reference takes two for both, so its V1 path fails with a shape error."""
    v1, v2 = (load_adapter(GOLDEN / f"photomaker-{version}.safetensors").id_encoder for version in ("v1", "v2"))
    photos = torch.zeros(3, 3, 224, 224)
    with torch.no_grad():
        assert (v1.version, v1.features(photos).shape) == ("v1", (3, 1, 256))
        assert (v2.version, v2.features(photos, torch.ones(3, 512)).shape) == ("v2", (3, 2, 256))


def test_the_command_fails_when_a_tensor_is_over_tolerance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(GOLDEN / "v1-one.json", tmp_path)
    golden = load_file(GOLDEN / "v1-one.safetensors")
    golden["text_pooled"][0, 0] += 2e-4
    save_file(golden, tmp_path / "v1-one.safetensors")
    options = ["--adapters", str(GOLDEN), "--base", str(TINY_BASE), "--photos", str(GOLDEN / "photos")]
    assert main(["parity", str(tmp_path), *options]) == 1
    output = capsys.readouterr().out
    assert [line.split()[1] for line in output.splitlines() if line.endswith("OVER")] == ["text_pooled"]
    assert "0 of 1 cases" in output


def test_a_folder_without_cases_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", str(tmp_path)]) == 2
    assert "no golden cases" in capsys.readouterr().err
