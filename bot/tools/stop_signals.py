"""Stops ``run`` and ``demo`` by SIGINT and SIGTERM. Called by the command line.

Handlers are installed explicitly: a process that is started in the background, or under nohup, inherits an ignored
SIGINT, for which Python installs none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from types import FrameType
from typing import Any, Final

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STOPPED_AT_ONCE: Final = 1


def exit_on_signal() -> None:
    """Let both signals end the process well while no event loop runs yet, as during the slow imports at start."""
    for number in _SIGNALS:
        signal.signal(number, _exit)


class Stopping:
    """A process's way to its end, in up to three steps, one a signal.

    The first lets what is under way come to its end, then cancels the serving, which may close what it has open. A
    second one while the first is waiting cancels the serving at once. One more, while it closes, ends the process.
    """

    def __init__(self) -> None:
        self._drain: Callable[[], Awaitable[None]] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._is_stopping = self._is_closing = False

    def drain_by(self, drain: Callable[[], Awaitable[None]]) -> None:
        """Say what the first signal waits for; until then it waits for nothing."""
        self._drain = drain

    async def until_stopped(self, serving: Coroutine[Any, Any, None]) -> None:
        """Run ``serving`` until it ends or the signals end it."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(serving)

        def stop(number: int, _frame: FrameType | None) -> None:
            if self._is_closing:
                os._exit(_STOPPED_AT_ONCE)
            log.info("%s: stopping%s", signal.Signals(number).name, " at once" if self._is_stopping else "")
            if self._is_stopping or self._drain is None:
                self._is_stopping = self._is_closing = True
                loop.call_soon_threadsafe(task.cancel)
            else:
                self._is_stopping = True
                loop.call_soon_threadsafe(self._start_draining, self._drain, task)

        for number in _SIGNALS:
            signal.signal(number, stop)
        try:
            await task
        except asyncio.CancelledError:
            if not self._is_closing:
                raise
        finally:
            if self._draining is not None:
                self._draining.cancel()
            exit_on_signal()

    def _start_draining(self, drain: Callable[[], Awaitable[None]], task: asyncio.Task[None]) -> None:
        if not self._is_closing:
            self._draining = asyncio.get_running_loop().create_task(self._drain_and_cancel(drain, task))

    async def _drain_and_cancel(self, drain: Callable[[], Awaitable[None]], task: asyncio.Task[None]) -> None:
        try:
            await drain()
        except Exception:
            log.exception("what is under way could not be waited for")
        if not self._is_closing:
            self._is_closing = True
            task.cancel()


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
