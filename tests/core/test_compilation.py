"""Compiled blocks: the same pictures, kept in a file, and a sentence where it cannot be done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from photomaker_core.errors import ModelError, UnfusedLoraError
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from photomaker_core.memory.plans import PLANS_BY_NAME
from photomaker_core.sampling.compilation import compile_and_keep, compile_from
from photomaker_core.sampling.generation import Generation, GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE

LONG = "a man img" + ", in a red hat" * 30
TWO = "a man img and a woman img"
DRAWN = (["a man img"], ["a man img", "a woman img", "a girl"], [LONG], [TWO], [LONG, "a man img"], [TWO, LONG, TWO])

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


def loaded(*, fuse: bool = True, plan: str = "full") -> PhotoMaker:
    return load_photomaker(str(TINY_BASE), TINY_ADAPTER, hardware=CPU, fuse_lora=fuse, memory_plan=PLANS_BY_NAME[plan])


def drawn(model: PhotoMaker, prompts: Sequence[str]) -> list[torch.Tensor]:
    engine = StepEngine(model)
    generations: list[Generation] = []
    for seed, prompt in enumerate(prompts):
        people = [torch.ones(2, 1, model.id_encoder.width) * person for person in range(prompt.count("img"))]
        conditioning = engine.condition(prompt, None, people)
        generations.append(engine.begin(conditioning, GenerationSettings(128, 128, steps=3, seed=seed)))
    while not generations[0].is_done:
        engine.step(generations)
    return [generation.latents for generation in generations]


@needs_compiler
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_draws_the_same_and_is_kept(tmp_path: Path) -> None:
    plain = loaded()
    kept = tmp_path / "models" / "compiled.bin"
    compile_and_keep(compiled := loaded(), kept)
    assert kept.stat().st_size > 1000
    again = loaded()
    compile_from(again, kept)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for prompts in DRAWN:
        expected = drawn(plain, prompts)
        for model in (compiled, again):
            for one, other in zip(drawn(model, prompts), expected, strict=True):
                torch.testing.assert_close(one, other, atol=5e-4, rtol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs, "somebody waited for compiling"


def test_what_cannot_be_compiled_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no compiled model"):
        compile_from(loaded(), tmp_path / "nowhere.bin")
    with pytest.raises(UnfusedLoraError, match="Compiling needs"):
        compile_and_keep(loaded(fuse=False), tmp_path / "compiled.bin")
    with pytest.raises(ModelError, match="fp8 cannot be compiled"):
        compile_and_keep(loaded(plan="fp8"), tmp_path / "compiled.bin")
    assert not (tmp_path / "compiled.bin").exists()
