"""Runs a stage over the batches of a table: in this process, in several, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from photomaker_core.dataset.dataset_config import DatasetConfig
from photomaker_core.dataset.stage_factory import build_stage
from photomaker_core.dataset.stages.stage import Stage
from photomaker_core.dataset.tables import Table
from photomaker_core.errors import UserError
from photomaker_core.worker_processes import worker_pool


@dataclass(frozen=True, slots=True)
class BatchTask:
    """One batch of one stage: read from ``source``, written to ``destination`` under the same number."""

    config: DatasetConfig
    stage: str
    source: Table
    destination: Table
    index: int


def run_batch(task: BatchTask) -> int:
    """Do the task and say how many rows it had. The process keeps the stage's networks for its next batch."""
    rows = task.source.read(task.index)
    task.destination.write(task.index, _stage(task.stage, task.config).run(rows, task.index))
    return len(rows)


def run_tasks(tasks: Sequence[BatchTask], config: DatasetConfig) -> Iterator[int]:
    """Run all tasks, in no certain order, and yield each one's rows as it is done."""
    if config.engine == "ray":
        yield from _on_ray(tasks, config)
    elif config.workers == 1 or len(tasks) < 2:
        yield from map(run_batch, tasks)
    else:
        yield from _in_processes(tasks, config.workers)


def _in_processes(tasks: Sequence[BatchTask], workers: int) -> Iterator[int]:
    with worker_pool(workers) as pool:
        futures = [pool.submit(run_batch, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise UserError(
                "A process of the stage {stage} was ended from outside, most likely for want of memory. What is "
                "done is kept: run the same command again, with fewer workers.",
                stage=tasks[0].stage,
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _on_ray(tasks: Sequence[BatchTask], config: DatasetConfig) -> Iterator[int]:
    """Ray Data over the batches; every machine sees the dataset's folder (NFS or the like)."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError("engine: ray needs Ray. Install it with: pip install 'photomaker-bot[ray]'") from error
    if not tasks:
        return
    if not ray.is_initialized():
        ray.init(num_cpus=config.workers, log_to_driver=False, include_dashboard=False)
    batches = ray.data.from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks))
    worker: Any = _RayWorker  # Ray takes a class where its types say a function
    done = batches.map(worker, concurrency=min(config.workers, len(tasks)))
    for row in done.iter_rows():
        yield int(row["rows"])


class _RayWorker:
    """An actor, so that networks are loaded once a worker."""

    def __call__(self, row: dict[str, BatchTask]) -> dict[str, int]:
        return {"rows": run_batch(row["task"])}


@lru_cache(maxsize=1)
def _stage(name: str, config: DatasetConfig) -> Stage:
    return build_stage(name, config)
