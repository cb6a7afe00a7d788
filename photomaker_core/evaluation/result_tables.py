"""The files that an evaluation writes: figures as JSON, a Markdown table, and a sheet of pictures per method."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from photomaker_core.evaluation.comparison import MethodResult
from photomaker_core.evaluation.measures import wilson_interval
from photomaker_core.evaluation.people import Person
from photomaker_core.images.preprocessing import tile

_SHEET_PEOPLE: Final = 6
_SHEET_PICTURES: Final = 8


def write_report(results: Sequence[MethodResult], people: Sequence[Person], folder: Path) -> None:
    """Write ``results.json``, ``results.md`` and one ``METHOD.png`` each into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [
        {
            "method": result.name,
            "pictures": len(result.drawn),
            "scores": {name: None if math.isnan(value) else value for name, value in result.scores.items()},
            "intervals": {name: [100 * end for end in wilson_interval(*rate)] for name, rate in result.rates.items()},
            "identified": result.identified,
            "asked": [[people[one.person].name, one.wish.prompt.text, one.wish.seed] for one in result.drawn],
            "attributes": {
                name: {"right": right, "asked": asked} for name, (right, asked) in result.by_attribute.items()
            },
        }
        for result in results
    ]
    (folder / "results.json").write_text(json.dumps(figures, indent=2) + "\n")
    (folder / "results.md").write_text(f"{markdown_table(results)}\n\n{attribute_table(results)}\n")
    for result in results:
        contact_sheet(result, people, folder / f"{result.name.lower().replace(' ', '-')}.png")


def markdown_table(results: Sequence[MethodResult]) -> str:
    """One row a method; shares with the interval that holds them with 95 %."""
    columns = list(dict.fromkeys(name for result in results for name in result.scores))
    rows = [["Method", *columns], *([one.name, *(_figure(one, name) for name in columns)] for one in results)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, f"|---|{'---:|' * len(columns)}")
    return "\n".join(lines)


def attribute_table(results: Sequence[MethodResult]) -> str:
    """A Markdown table of how often each asked attribute is there, one row a method."""
    columns = list(dict.fromkeys(name for result in results for name in result.by_attribute))
    lines = [f"| Method | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for result in results:
        counts = (result.by_attribute.get(name, (0, 0)) for name in columns)
        lines.append(f"| {result.name} | {' | '.join(f'{right} of {asked}' for right, asked in counts)} |")
    return "\n".join(lines)


def contact_sheet(result: MethodResult, people: Sequence[Person], path: Path) -> None:
    """One row a person: their first ID photo, then pictures evenly taken from all prompts."""
    cells = []
    for index, person in list(enumerate(people))[:_SHEET_PEOPLE]:
        pictures = [one.picture for one in result.drawn if one.person == index]
        stride = max(1, len(pictures) // _SHEET_PICTURES)
        shown = pictures[::stride][:_SHEET_PICTURES]
        cells += [person.photos[0].resize(pictures[0].size), *shown]
    tile(cells, columns=len(cells) // min(len(people), _SHEET_PEOPLE)).save(path)


def plot_trade(results: Sequence[tuple[float, MethodResult]], path: Path) -> None:
    """Plot identity and text scores by style strength, in percent; without matplotlib, nothing is drawn."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    strengths = [strength for strength, _ in results]
    for name in ("ID top-1", "Attributes", "CLIP-T", "Face Sim."):
        values = [result.scores.get(name, math.nan) for _, result in results]
        if not all(map(math.isnan, values)):
            axes.plot(strengths, values, marker="o", label=name)
    axes.set(xlabel="style strength in percent of the steps", ylabel="percent", ylim=(0, 100))
    axes.legend()
    figure.savefig(path, dpi=120)


def _figure(result: MethodResult, name: str) -> str:
    value = result.scores.get(name, math.nan)
    if math.isnan(value):
        return "–"
    if name not in result.rates:
        return f"{value:.1f}"
    low, high = wilson_interval(*result.rates[name])
    return f"{value:.1f} ({100 * low:.0f}–{100 * high:.0f})"
