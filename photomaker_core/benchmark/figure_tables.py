"""Writes the benchmark's figures: JSON, a Markdown page and a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from photomaker_core.benchmark.measurements import ENGINE, MEMBERS, PLAIN, Figures


def write_report(figures: Figures, folder: Path) -> str:
    """Write ``bench.json``, ``bench.md`` and, where matplotlib is installed, ``bench.png``; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    parts = [_header, _throughput, _waiting, _time, _growth, _levers]
    if "memory_bytes" in figures:
        parts += [_layouts, _memory]
    page = "\n\n".join(part(figures) for part in parts)
    (folder / "bench.md").write_text(page + "\n")
    _plot(figures, folder / "bench.png")
    return page


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table; numbers get three significant digits."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _header(figures: Figures) -> str:
    return "# Benchmark\n\n" + ", ".join(f"{name}: {value}" for name, value in figures["setting"].items())


def _throughput(figures: Figures) -> str:
    found = figures["throughput_pictures_per_s"]
    rows = [
        [members, found[PLAIN][str(members)], found[ENGINE][str(members)],
         found[ENGINE][str(members)] / found[PLAIN][str(members)]]
        for members in MEMBERS
    ]  # fmt: skip
    return "## Pictures a second\n\n" + table(["members", PLAIN, ENGINE, "ratio"], rows)


def _waiting(figures: Figures) -> str:
    found = figures["waiting_s"]
    rows = [[name, found[PLAIN][name], found[ENGINE][name], found[ENGINE][name] / found[PLAIN][name]]
            for name in found[PLAIN]]  # fmt: skip
    title = f"## Seconds under a Poisson load of {found['requests_per_s']:.3g} requests a second"
    return f"{title}\n\n" + table(["", PLAIN, ENGINE, "ratio"], rows)


def _time(figures: Figures) -> str:
    names = ["total", "unet", "vae", "outside", "outside_share", "roofline"]
    rows = [[who, *(shares[name] for name in names)] for who, shares in figures["time"].items()]
    head = ["", "s a picture", "UNet", "VAE", "outside both", "share outside", "UNet / total"]
    return "## Where the time goes\n\n" + table(head, rows)


def _growth(figures: Figures) -> str:
    photos = [[number, *times.values()] for number, times in figures["id_photos_s"].items()]
    waiting = [[number, seconds * 1e6] for number, seconds in figures["waiting_jobs_s"].items()]
    return (
        "## Growth\n\n"
        + table(["ID photos", "encode, once (s)", "condition (s)", "one step (s)"], photos)
        + "\n\n"
        + table(["waiting jobs", "choosing a batch (µs)"], waiting)
    )


def _levers(figures: Figures) -> str:
    return "## Speed levers\n\n" + _against_first(["lever", "steps of one picture (s)"], figures["levers_s"])


def _layouts(figures: Figures) -> str:
    return "## UNet layouts\n\n" + _against_first(["layout", "one step of a full batch (s)"], figures["layouts_s"])


def _against_first(head: list[str], seconds: dict[str, float]) -> str:
    first = next(iter(seconds.values()))
    return table([*head, "times as fast"], [[name, one, first / one] for name, one in seconds.items()])


def _memory(figures: Figures) -> str:
    rows = [
        [plan, f"{one['expected'] / 2**20:.0f}", f"{one['measured'] / 2**20:.0f}"]
        for plan, one in figures["memory_bytes"].items()
    ]
    return "## Peak memory\n\n" + table(["plan", "expected (MiB)", "measured (MiB)"], rows)


def _plot(figures: Figures, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    rate, wait = figure.subplots(1, 2)
    for name in (PLAIN, ENGINE):
        found = figures["throughput_pictures_per_s"][name]
        rate.plot([str(one) for one in MEMBERS], [found[str(one)] for one in MEMBERS], marker="o", label=name)
    rate.set(xlabel="members at once", ylabel="pictures a second", ylim=(0, None))
    rate.legend()
    names = ["preview_p50", "preview_p95", "picture_p50", "picture_p95"]
    for offset, name in ((-0.2, PLAIN), (0.2, ENGINE)):
        seconds = [figures["waiting_s"][name][key] for key in names]
        wait.bar([index + offset for index in range(len(names))], seconds, 0.4, label=name)
    wait.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    wait.set(ylabel="seconds under load")
    wait.legend()
    figure.savefig(path, dpi=120)
