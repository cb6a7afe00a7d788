"""What a worker process has been given to do, and what becomes of it when that process ends. Called by its starter.

It knows no process, no clock and no lock.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

MOST_CRASHES: Final = 2
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _State(Enum):
    HELD = "held"
    SENT = "sent"
    BEGUN = "begun"


@dataclass(slots=True)
class _Task(Generic[V]):
    content: V
    state: _State = _State.HELD
    crashes: int = 0


class TaskLedger(Generic[K, V]):
    """Tasks by their keys, in the order in which they came, until they end.

    A process that ends puts every task that it had begun under suspicion, since each may have been the reason. Suspects
    are tried once more, one by one and with nothing beside them; all others are held meanwhile. A task that ends the
    process again, when it is alone, is condemned; those that were only beside it are done by then.
    """

    def __init__(self) -> None:
        self._tasks: dict[K, _Task[V]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter([(key, task.content) for key, task in self._tasks.items()])

    def add(self, key: K, content: V) -> None:
        """Hold a task. Raises ``ValueError`` for a key in use."""
        if key in self._tasks:
            raise ValueError(f"task {key} is here already")
        self._tasks[key] = _Task(content)

    def get(self, key: K) -> V | None:
        task = self._tasks.get(key)
        return None if task is None else task.content

    def is_held(self, key: K) -> bool:
        """True for a task that the process does not have."""
        task = self._tasks.get(key)
        return task is not None and task.state is _State.HELD

    def end(self, key: K) -> V | None:
        """Forget a task; returns what it was, or ``None`` where it has ended before."""
        task = self._tasks.pop(key, None)
        return None if task is None else task.content

    def to_send(self) -> list[tuple[K, V]]:
        """Everything that the process may have now; from here on it has it."""
        suspects = [(key, task) for key, task in self._tasks.items() if task.crashes]
        chosen = [(key, task) for key, task in self._tasks.items() if task.state is _State.HELD]
        if suspects:
            is_idle = len(chosen) == len(self._tasks)
            chosen = suspects[:1] if is_idle else []
        for _, task in chosen:
            task.state = _State.SENT
        return [(key, task.content) for key, task in chosen]

    def begin(self, key: K) -> V | None:
        """Note that the process works on a task; returns it, or ``None`` where it has ended."""
        task = self._tasks.get(key)
        if task is None:
            return None
        task.state = _State.BEGUN
        return task.content

    def crash(self) -> list[V]:
        """Note that the process has ended; returns the tasks that are condemned, which are forgotten.

        Where none had begun, all that were sent are suspects: reading one may have been the end.
        """
        had = {key: task for key, task in self._tasks.items() if task.state is not _State.HELD}
        begun = {key: task for key, task in had.items() if task.state is _State.BEGUN} or had
        for task in had.values():
            task.state = _State.HELD
        for task in begun.values():
            task.crashes += 1
        if len(begun) == 1:
            ((key, task),) = begun.items()
            if task.crashes >= MOST_CRASHES:
                del self._tasks[key]
                return [task.content]
        return []
