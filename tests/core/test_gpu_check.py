"""The GPU check: its sections stand alone and keep to their time; what a CPU can run of it leaves a report."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from photomaker_core.benchmark.gpu_check.command import main
from photomaker_core.benchmark.gpu_check.sections import Findings, Section, Tables, run_sections

LONG_S = 10_000_000.0


def test_a_section_that_fails_or_takes_too_long_costs_the_others_nothing() -> None:
    def fails() -> Tables:
        raise RuntimeError("no such kernel")

    def hangs() -> Tables:
        while True:
            time.sleep(0.01)

    kept: list[set[str]] = []
    sections = [
        Section("fails", 0, 5, fails),
        Section("hangs", 0, 0.2, hangs),
        Section("needs more than is left", 2 * LONG_S, 1, fails),
        Section("works", 0, 5, lambda: {"Numbers": [{"one": 1}]}),
        Section("works, too", 0, 5, lambda: {"Numbers": [{"one": 2}]}),
    ]
    found = run_sections(sections, LONG_S, lambda so_far: kept.append(set(so_far.tables)), lambda _line: None)
    assert found.tables == {"Numbers": [{"one": 1}, {"one": 2}]}
    assert "no such kernel" in found.failed["fails"]
    assert "OutOfTimeError" in found.failed["hangs"]
    assert set(found.skipped) == {"needs more than is left"}
    assert kept[0] == set()
    assert kept[-1] == {"Numbers"}


def test_nothing_is_begun_when_the_budget_is_spent() -> None:
    sections = [Section("works", 1, 5, lambda: {"Numbers": [{"one": 1}]})]
    assert run_sections(sections, 0, lambda _: None, lambda _: None) == Findings(
        skipped={"works": "needs 1 s; 0 s were left"}
    )


@pytest.mark.parametrize("section", ["parts", "plan encoder-offload", "precision float16"])
def test_sections_run_without_a_card_on_a_tiny_model(tmp_path: Path, section: str) -> None:
    assert main(["--tiny", "--steps", "2", "--only", section, "--out", str(tmp_path), "--budget-s", str(LONG_S)]) == 0
    found = json.loads((tmp_path / "gpu-check.json").read_text())
    assert set(found["seconds"]) == {section}
    assert not found["failed"]
    assert "# GPU check" in (tmp_path / "gpu-check.md").read_text()
    for vae in found["tables"].get("A VAE that overflows in float16", ()):
        assert vae["VAE runs in"] == "float32"
        assert vae["picture is finite"]
        assert not vae["finite without the upcast"]
        assert vae["colours in the preview"] > 10
