"""The command ``photomaker dataset``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from photomaker_core.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_ALL: Final = "run"
_STAGES: Final = ("fetch", "detect", "verify", "crop", "segment", "caption", "mark", "pack", "report")
_EXTRA: Final = "The dataset pipeline needs its extra. Install it with: pip install 'photomaker-bot[dataset]'"


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="STAGE")
    for name in (_ALL, *_STAGES):
        stage = commands.add_parser(name, help="run all stages" if name == _ALL else f"run the stage {name} alone")
        stage.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file; see docs/dataset.md")
        stage.add_argument("--workers", type=int, metavar="N", help="processes (default: as the file says)")
        stage.add_argument("--engine", choices=("local", "ray"), help="where batches run (default: as the file says)")
        stage.set_defaults(run=_run, stages=_STAGES if name == _ALL else (name,))
    draw = commands.add_parser("draw", help="draw a corpus with known truth")
    draw.add_argument("folder", type=Path, metavar="DIR")
    draw.add_argument("--people", type=int, default=200)
    draw.add_argument("--pictures", type=int, default=10, help="pictures a person (default: 10)")
    draw.set_defaults(run=_draw)
    score = commands.add_parser("score", help="compare a run on a drawn corpus with the truth")
    score.add_argument("config", type=Path, metavar="CONFIG")
    score.add_argument("corpus", type=Path, metavar="DIR", help="what the command draw wrote")
    score.set_defaults(run=_score)


def _run(options: argparse.Namespace) -> int:
    from dataclasses import replace

    try:
        from photomaker_core.dataset.dataset_config import load_dataset_config
        from photomaker_core.dataset.pipeline import run
    except ImportError as error:
        raise UserError(_EXTRA) from error
    config = load_dataset_config(options.config)
    if options.workers is not None:
        config = replace(config, workers=options.workers)
    if options.engine is not None:
        config = replace(config, engine=options.engine)
    with _bars() as bars:
        run(config, _RichProgress(bars), options.stages)
    print(config.folder)
    return 0


def _draw(options: argparse.Namespace) -> int:
    from photomaker_core.dataset.drawn_corpus import draw_corpus

    if options.people < 1 or options.pictures < 1:
        raise UserError("--people and --pictures must be at least 1.")
    draw_corpus(options.folder, options.people, options.pictures)
    return 0


def _score(options: argparse.Namespace) -> int:
    try:
        from photomaker_core.dataset.corpus_scores import score_table, scores
        from photomaker_core.dataset.dataset_config import load_dataset_config
    except ImportError as error:
        raise UserError(_EXTRA) from error
    print(score_table(scores(load_dataset_config(options.config), options.corpus)))
    return 0


class _RichProgress:
    """One bar a stage, with pictures a second and the time left."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, stage: str, total: int | None, done: int) -> None:
        self._task = self._bars.add_task(stage, total=total, completed=done)

    def advance(self, pictures: int) -> None:
        assert self._task is not None
        self._bars.update(self._task, advance=pictures)

    def end(self) -> None:
        assert self._task is not None
        done = self._bars.tasks[self._task].completed
        self._bars.update(self._task, total=done)
        self._bars.stop_task(self._task)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class _Speed(ProgressColumn):
        """Pictures a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.1f}/s")

    return Progress(
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
