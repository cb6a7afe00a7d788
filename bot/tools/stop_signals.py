"""Stops ``run`` and ``demo`` by SIGINT and SIGTERM. Called by the command line.

Handlers are installed explicitly: a process that is started in the background, or under nohup, inherits an ignored
SIGINT, for which Python installs none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Final

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STOPPED_AT_ONCE: Final = 1


def exit_on_signal() -> None:
    """Let both signals end the process well while no event loop runs yet, as during the slow imports at start."""
    for number in _SIGNALS:
        signal.signal(number, _exit)


async def until_stopped(serving: Coroutine[Any, Any, None]) -> None:
    """Run ``serving`` until it ends or a signal comes; then it is cancelled and may close what it has open.

    A second signal ends the process at once.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(serving)
    is_stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            os._exit(_STOPPED_AT_ONCE)
        is_stopping = True
        log.info("%s: stopping", signal.Signals(number).name)
        loop.call_soon_threadsafe(task.cancel)

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not is_stopping:
            raise
    finally:
        exit_on_signal()


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
