"""Train all of nano, one stage after the other, from ``configs/nano-*.yaml``.

    python scripts/train_nano.py --work runs/nano

The large set of pictures is drawn by other processes while the autoencoder learns from a small one. Each stage's
result is packed into ``--deliver`` as soon as it is there, so that a run that is cut short still leaves something.
``--rehearse`` takes some steps of everything on a few pictures first: whatever would fail then fails early. The
configurations' steps are those of the weights that ship; ``--longer 4`` takes four times as many. The stages
``base-longer``, ``photomaker-longer`` and ``judge-longer`` go on from what the stages without that word made, and
``photomaker-likeness`` from ``photomaker-longer`` and ``faces``.
"""

from __future__ import annotations

import argparse
import gc
import io
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from photomaker_core.nano.portrait_set import is_drawn
from photomaker_core.training.configuration import TrainConfig, load_config, run

_CONFIGS: Final = Path(__file__).parents[1] / "configs"
_STAGES: Final = (
    "vae",
    "vision",
    "base",
    "photomaker",
    "judge",
    "base-longer",
    "photomaker-longer",
    "judge-longer",
    "faces",
    "photomaker-likeness",
)
_PART_BYTES: Final = 15_000_000
_REHEARSAL: Final = {"identities": 24, "pictures": 12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/nano"), metavar="DIR")
    parser.add_argument("--deliver", type=Path, metavar="DIR", help="where each stage's result is packed into")
    parser.add_argument("--stages", nargs="+", choices=_STAGES, default=_STAGES)
    parser.add_argument("--longer", type=float, default=1.0, metavar="TIMES", help="how many times as many steps")
    parser.add_argument("--rehearse", type=int, default=0, metavar="STEPS", help="of every stage before the real ones")
    options = parser.parse_args()
    gc.freeze()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    configs = {stage: load_config(_CONFIGS / f"nano-{stage}.yaml") for stage in options.stages}
    drawing = _draw_ahead(options.work, list(configs.values()))
    if options.rehearse:
        for config in configs.values():
            _timed(_rehearsal(config, options.rehearse), options.work / "rehearsal")
    for stage, config in configs.items():
        _wait(drawing, options.work, config)
        longer = replace(config.loop, steps=round(config.loop.steps * options.longer))
        _timed(replace(config, loop=longer), options.work)
        if options.deliver:
            _pack(options.work / config.output, options.deliver / f"{stage}.tar.gz")
    drawing.wait()


def _draw_ahead(work: Path, configs: list[TrainConfig]) -> subprocess.Popen[bytes]:
    """Draw the first stage's set, then the others', in a process beside this one."""
    sets = list(dict.fromkeys((config.data["identities"], config.data["pictures"]) for config in configs))
    work.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-m", "photomaker_core.nano.portrait_set", str(work)]
    return subprocess.Popen([*program, *(f"{identities}x{pictures}" for identities, pictures in sets)])


def _wait(drawing: subprocess.Popen[bytes], work: Path, config: TrainConfig) -> None:
    while drawing.poll() is None and not is_drawn(work, **config.data):
        time.sleep(0.1)


def _rehearsal(config: TrainConfig, steps: int) -> TrainConfig:
    loop = replace(config.loop, steps=steps, log_every=2, warmup_steps=1, sample_every=0)
    return replace(config, loop=loop, data=_REHEARSAL)


def _timed(config: TrainConfig, work: Path) -> None:
    started = time.monotonic()
    run(config, work)
    print(f"{work / config.output}: {time.monotonic() - started:.0f} s", flush=True)


def _pack(folder: Path, archive: Path) -> None:
    """The export, the log and the samples, in parts that fit where single files are limited."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        tar.add(folder, folder.name, filter=lambda one: None if one.name.endswith("checkpoint.pt") else one)
    content = packed.getvalue()
    for part, start in enumerate(range(0, len(content), _PART_BYTES)):
        archive.with_name(f"{archive.name}.{part}").write_bytes(content[start : start + _PART_BYTES])


if __name__ == "__main__":
    main()
