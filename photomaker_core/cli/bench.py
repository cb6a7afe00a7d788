"""The command ``photomaker bench``."""

from __future__ import annotations

import argparse
import platform
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from photomaker_core.cli.option_types import check_counts, output_folder
from photomaker_core.library_logging import quiet_libraries
from photomaker_core.nano.shipped_weights import NANO_ADAPTER, NANO_BASE

if TYPE_CHECKING:
    from photomaker_core.loading.photomaker import PhotoMaker
    from photomaker_core.memory.plans import MemoryPlan
    from photomaker_core.memory.unet_layout import UnetLayout


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", default=str(NANO_BASE), help="as for generate")
    parser.add_argument("--adapter", type=Path, default=NANO_ADAPTER, help="as for generate")
    parser.add_argument(
        "--random-sdxl",
        choices=("v1", "v2"),
        help="instead of a base: SDXL and PhotoMaker of full size with random weights, nothing to download",
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=8, help="pictures a run (default: 8)")
    parser.add_argument("--runs", type=int, default=3, help="the median of so many runs counts (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), metavar="DIR")
    parser.set_defaults(run=bench)


def bench(options: argparse.Namespace) -> int:
    """Measure, print and write the figures; returns the exit status."""
    quiet_libraries()
    import torch

    from photomaker_core.benchmark.figure_tables import write_report
    from photomaker_core.benchmark.measurements import Benchmark
    from photomaker_core.benchmark.memory_peaks import peaks
    from photomaker_core.benchmark.random_sdxl import RandomSdxl
    from photomaker_core.loading.photomaker import load_photomaker
    from photomaker_core.memory.unet_layout import LAYOUTS, PLAIN_LAYOUT
    from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY, identity_number, scene_number
    from photomaker_core.nano.portraits import draw
    from photomaker_core.sampling.generation import GenerationSettings

    check_counts(options, "steps", "max_batch", "pictures", "runs")
    folder = output_folder(options.out)

    random_sdxl = RandomSdxl(options.random_sdxl) if options.random_sdxl else None

    def load(plan: MemoryPlan | None, layout: UnetLayout = PLAIN_LAYOUT) -> PhotoMaker:
        if random_sdxl is not None:
            return random_sdxl.photomaker(plan, layout)
        return load_photomaker(options.base, options.adapter, fuse_lora=True, memory_plan=plan, layout=layout)

    model = load(None)
    side = model.base.side_px
    settings = GenerationSettings(side, side, steps=options.steps)
    numbers = range(FIRST_HELD_OUT_IDENTITY, FIRST_HELD_OUT_IDENTITY + 4)
    people = [[draw(identity_number(one), scene_number(one, picture))[0] for picture in range(4)] for one in numbers]
    hardware = model.base.hardware

    def measured(model: PhotoMaker) -> Benchmark:
        return Benchmark(model, people, settings, options.max_batch, options.runs, options.pictures)

    figures = {
        "setting": {
            "model": f"random SDXL {options.random_sdxl}" if options.random_sdxl else Path(options.base).name,
            "machine": _machine(hardware.device.type),
            "threads": torch.get_num_threads(),
            "dtype": str(hardware.dtype).removeprefix("torch."),
            "torch": torch.__version__,
            "pixels": f"{side} x {side}",
            "steps": options.steps,
            "largest batch": options.max_batch,
            "runs": options.runs,
        },
        **measured(model).everything(partial(print, flush=True)),
    }
    if hardware.device.type == "cuda" or not options.random_sdxl:
        del model
        figures["layouts_s"] = {}
        for name, layout in LAYOUTS.items():
            print(f"layout {name}", flush=True)
            figures["layouts_s"][name] = measured(load(None, layout)).step_s()
        figures["memory_bytes"] = peaks(load, settings)
    print(write_report(figures, folder))
    return 0


def _machine(device_type: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device_type == "cuda" else f"{platform.machine()} CPU"
