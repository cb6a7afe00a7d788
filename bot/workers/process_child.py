"""The worker process: it owns the GPU, draws what it is sent, and ends with the bot.

Started by :mod:`bot.workers.gpu_process` as ``python -m bot.workers.process_child DESCRIPTOR PARENT``.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Final

from photomaker_core.garbage_collection import imports_kept
from photomaker_core.library_logging import quiet_libraries

ORPHANED: Final = 3
_PR_SET_PDEATHSIG: Final = 1


def main(arguments: Sequence[str]) -> None:
    """Serve the bot, whose process id is the second argument, over the socket that is the first."""
    descriptor, parent = map(int, arguments)
    os.set_inheritable(descriptor, False)
    faulthandler.enable()
    end_with(parent)
    with imports_kept():
        quiet_libraries()
        from bot.workers.child_session import serve

    serve(Connection(descriptor))


def end_with(parent: int) -> None:
    """End when the parent does, however it ends, and not by signals to a whole group: stopping is the parent's to
    decide.

    The end of the socket says the same, but not to a process whose interpreter hangs.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(ORPHANED)


if __name__ == "__main__":
    main(sys.argv[1:])
