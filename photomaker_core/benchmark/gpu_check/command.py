"""The command behind ``scripts/gpu_check``."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from photomaker_core.library_logging import quiet_libraries

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from photomaker_core.benchmark.gpu_check.page import Setting
    from photomaker_core.benchmark.gpu_check.sections import Findings, Section
    from photomaker_core.benchmark.random_sdxl import RandomSdxl
    from photomaker_core.memory.plans import MemoryPlan


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the engine on this machine's card; returns 0 where every section that ran has succeeded."""
    parser = argparse.ArgumentParser(
        prog="gpu_check",
        description="Measure speed, memory plans and half precision on a graphics card, with random weights.",
    )
    parser.add_argument("--tiny", action="store_true", help="a tiny model: tries the check itself, also without a card")
    parser.add_argument("--steps", type=int, default=30, help="of a picture whose speed is measured (default: 30)")
    parser.add_argument("--pictures", type=int, default=4, help="pictures a run of a server (default: 4)")
    parser.add_argument("--budget-s", type=float, default=600, help="seconds for everything (default: 600)")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="sections whose name contains one of these"
    )
    parser.add_argument("--out", type=Path, default=Path("out/gpu-check"), metavar="DIR")
    options = parser.parse_args(arguments)
    quiet_libraries()
    import torch

    from photomaker_core.benchmark.gpu_check.page import write_findings
    from photomaker_core.benchmark.gpu_check.sections import run_sections
    from photomaker_core.benchmark.random_sdxl import RandomSdxl, full_size, tiny_size
    from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY, identity_number, scene_number
    from photomaker_core.nano.portraits import draw

    if not torch.cuda.is_available() and not options.tiny:
        parser.error("there is no CUDA card here; --tiny tries the check without one")
    say = partial(print, flush=True)
    started_s = time.perf_counter()
    torch.manual_seed(0)
    random = RandomSdxl("v1", tiny_size() if options.tiny else full_size())
    say(f"made the weights: {time.perf_counter() - started_s:.1f} s")
    people = [
        [draw(identity_number(FIRST_HELD_OUT_IDENTITY + person), scene_number(person, photo))[0] for photo in range(4)]
        for person in range(4)
    ]
    setting = _setting(random.hardware.device, random.hardware.dtype, options.tiny)
    sections = [one for one in _sections(random, people, options) if any(text in one.name for text in options.only)]
    if options.tiny:
        sections = [replace(one, at_most_s=options.budget_s) for one in sections]

    def keep(found: Findings) -> None:
        write_findings(found, setting, options.out)

    findings = run_sections(sections, options.budget_s, keep, say)
    say(write_findings(findings, setting, options.out))
    return 1 if findings.failed else 0


def _sections(random: RandomSdxl, people: list[list[Image.Image]], options: argparse.Namespace) -> list[Section]:
    """The measurements, the most valuable first; times are those of SDXL on a data-centre card, with room."""
    import torch

    from photomaker_core.benchmark.gpu_check import faster_steps, half_precision, speed
    from photomaker_core.benchmark.gpu_check.plan_peaks import PlanCheck
    from photomaker_core.benchmark.gpu_check.sections import Section
    from photomaker_core.benchmark.measurements import ENGINE, MEMBERS, PLAIN, Benchmark
    from photomaker_core.memory.plans import PLANS, PLANS_BY_NAME
    from photomaker_core.sampling.generation import GenerationSettings

    full = PLANS_BY_NAME["full"]
    model = random.photomaker(full)
    settings = GenerationSettings(model.base.side_px, model.base.side_px, steps=options.steps)
    few_steps = GenerationSettings(model.base.side_px, model.base.side_px, steps=8)
    benchmark = Benchmark(model, people, settings, max_batch=max(MEMBERS), runs=1, pictures=options.pictures)
    check = PlanCheck(random.photomaker, people[0], settings)
    device_type = random.hardware.device.type
    plans = [plan for plan in PLANS if plan.offload == "none" or device_type == "cuda"]

    def plan_section(plan: MemoryPlan) -> Section:
        return Section(f"plan {plan.name}", 8, 60, partial(check.measure, plan))

    precisions = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    return [
        Section("steps", 5, 30, lambda: speed.step_times(benchmark)),
        Section("parts", 3, 15, lambda: speed.part_times(benchmark)),
        Section("diffusers", 6, 30, lambda: speed.pipeline_throughput(benchmark)),
        *(
            Section(f"engine {members}", 8, 30, partial(speed.throughput, benchmark, ENGINE, members))
            for members in MEMBERS
        ),
        Section("shares", 10, 30, lambda: speed.shares(benchmark)),
        *(plan_section(plan) for plan in plans if plan.offload != "sequential"),
        Section("neighbours", 4, 15, lambda: half_precision.neighbours(model, few_steps)),
        *(
            Section(f"precision {name}", 8, 25, partial(half_precision.other_precision, random, dtype, few_steps))
            for name, dtype in precisions.items()
            if dtype != random.hardware.dtype
        ),
        *(plan_section(plan) for plan in plans if plan.offload == "sequential"),
        Section("layouts", 6, 25, lambda: faster_steps.layouts(benchmark)),
        Section("diffusers together", 10, 30, lambda: speed.pipeline_throughput_together(benchmark)),
        Section("compiled", 25, 120, lambda: faster_steps.compiled(benchmark)),
        Section("plain", 8, 20, lambda: speed.throughput(benchmark, PLAIN, 1)),
    ]


def _setting(device: torch.device, dtype: torch.dtype, tiny: bool) -> Setting:
    import torch

    on_cuda = device.type == "cuda"
    return {
        "model": "tiny random SDXL" if tiny else "random SDXL with PhotoMaker V1",
        "card": torch.cuda.get_device_name(device) if on_cuda else f"none, {platform.machine()} CPU",
        "memory (MiB)": torch.cuda.get_device_properties(device).total_memory // 2**20 if on_cuda else 0,
        "precision": str(dtype).removeprefix("torch."),
        "CUDA": torch.version.cuda or "none",
        "Python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "diffusers", "transformers", "accelerate", "torchao")},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
