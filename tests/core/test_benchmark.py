"""The benchmark: its servers draw the same pictures, its figures are what they say, its command leaves a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from photomaker_core.benchmark.engine_server import EngineServer
from photomaker_core.benchmark.pipeline_server import PlainServer
from photomaker_core.benchmark.random_sdxl import RandomSdxl, tiny_size
from photomaker_core.benchmark.workload import NEGATIVE, PROMPTS, Publish, Request, Run, Server, percentile, poisson
from photomaker_core.cli import main as cli
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.memory.plans import PLANS_BY_NAME
from photomaker_core.sampling.generation import GenerationSettings
from photomaker_core.sampling.step_engine import StepEngine
from storage import Database
from storage.benchmark import fill, measure
from tests.support.tiny_model import NEWTON, TINY_ADAPTER, TINY_BASE

SETTINGS = GenerationSettings(128, 128, steps=3)
REQUEST = Request(member=0, person=0, prompt=PROMPTS[0], negative=NEGATIVE, seed=11)


@pytest.fixture(scope="module")
def people() -> list[list[Image.Image]]:
    return [[Image.open(NEWTON[0]).convert("RGB")]]


def test_the_plain_pipeline_draws_what_the_engine_draws(
    tiny_model: PhotoMaker, people: list[list[Image.Image]]
) -> None:
    engine = StepEngine(tiny_model)
    plain = PlainServer(engine, people, SETTINGS).draw(REQUEST, lambda _what: None)
    conditioning = engine.condition(REQUEST.prompt, NEGATIVE, tiny_model.encode_photos(people[0]))
    generation = engine.begin(conditioning, GenerationSettings(128, 128, steps=3, seed=11))
    while not generation.is_done:
        engine.step([generation])
    assert np.abs(np.asarray(plain).astype(int) - np.asarray(engine.finish(generation)).astype(int)).max() <= 1


@pytest.mark.parametrize("kind", ["plain", "engine"])
def test_every_request_is_previewed_and_then_finished(
    tiny_model: PhotoMaker, people: list[list[Image.Image]], kind: str
) -> None:
    engine = StepEngine(tiny_model)
    server: Server = (
        PlainServer(engine, people, SETTINGS) if kind == "plain" else EngineServer(engine, people, SETTINGS, 2)
    )
    timings = Run(server).stream(poisson(50, 6, members=3, people=1, seed=1))
    assert len(timings) == 6
    assert all(one.arrived_s < one.previewed_s <= one.finished_s for one in timings)
    run = Run(server)
    assert run.members(2, 2, people=1, seed=0) > 0
    assert len(run.timings) == 4


class Instant(Server):
    """Draws each request the moment it comes to it."""

    def __init__(self) -> None:
        self.waiting: list[Publish] = []

    @property
    def is_idle(self) -> bool:
        return not self.waiting

    def submit(self, request: Request, publish: Publish) -> None:
        self.waiting.append(publish)

    def advance(self) -> None:
        self.waiting.pop(0)("finished")


def test_arrivals_keep_their_times() -> None:
    arrivals = poisson(200, 40, members=4, people=2, seed=3)
    times = [at_s for at_s, _ in arrivals]
    assert times == sorted(times)
    assert times[-1] / 40 == pytest.approx(1 / 200, rel=0.5)
    timings = Run(Instant()).stream(arrivals)
    assert [one.arrived_s for one in timings] == times
    assert all(one.took_s >= 0 for one in timings)


def test_percentiles() -> None:
    assert percentile([3.0], 0.95) == 3.0
    assert percentile(list(range(101)), 0.95) == 95
    assert percentile(list(range(101)), 0.5) == 50


def test_the_command_leaves_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--base", str(TINY_BASE), "--adapter", str(TINY_ADAPTER)]
    quick = ["--steps", "2", "--pictures", "2", "--runs", "1", "--out", str(tmp_path)]
    assert cli.main(["bench", *model, *quick]) == 0
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert set(figures["throughput_pictures_per_s"]["engine"]) == {"1", "2", "4", "8"}
    for shares in figures["time"].values():
        assert shares["unet"] + shares["vae"] + shares["outside"] == pytest.approx(shares["total"])
    assert figures["memory_bytes"]["fp8"]["measured"] < figures["memory_bytes"]["encoder-offload"]["measured"]
    assert "## Pictures a second" in capsys.readouterr().out
    with Image.open(tmp_path / "bench.png") as plot:
        assert plot.width > 500
    assert cli.main(["bench", "--runs", "0"]) == 2


async def test_storage_is_measured_on_a_filled_database(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'bench.db'}")
    await fill(database, 0, 50)
    await fill(database, 50, 120)
    found = await measure(database, 120)
    await database.close()
    expected = {
        "find by name",
        "find what one may draw",
        "autocomplete",
        "list",
        "features",
        "add and delete",
    }
    assert set(found) == expected
    assert all(seconds > 0 for seconds in found.values())


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_random_sdxl_is_built_as_the_real_one_is(version: Literal["v1", "v2"]) -> None:
    """At a hundredth of the size: all widths come from the configurations. Models share weights and nothing else."""
    random = RandomSdxl(version, tiny_size())
    model, other = random.photomaker(), random.photomaker(PLANS_BY_NAME["fp8"])
    assert model.version == version
    assert model.footprint is not None
    assert model.base.unet.conv_in.weight.dtype == torch.float32
    assert other.base.unet.mid_block.resnets[0].conv1.weight.element_size() == 1
    engine = StepEngine(model)
    features = model.encode_photos([Image.open(NEWTON[0]).convert("RGB")])
    generation = engine.begin(engine.condition("a man img", None, features), GenerationSettings(128, 128, steps=1))
    engine.step([generation])
    assert engine.finish(generation).size == (128, 128)
