"""Worker processes for tests: quick to start, with the tiny model, and with faults that files in a folder switch on.

``python -m tests.support.worker_process SOCKET`` forks a worker for every descriptor that it is sent: loading the
libraries takes longer than drawing, and a fork has them from the start.
"""

from __future__ import annotations

import array
import ctypes
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bot.workers.child_session import serve
from photomaker_core.library_logging import quiet_libraries
from photomaker_core.loading.photomaker import PhotoMaker, load_photomaker
from tests.support.tiny_model import CPU, TINY_ADAPTER, TINY_BASE

POISONED_PX = 128
"""Where the fault is ``poison``, pictures so wide kill the worker process."""


class Forks:
    """Starts worker processes by forking one that has the libraries."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.worker_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

    def start(self, descriptor: int) -> Forked:
        socket.send_fds(self._socket, [b"fork"], [descriptor])
        (pid,) = array.array("q", self._socket.recv(8))
        return Forked(pid)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


class Forked:
    """A worker process that is the child of another one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = None

    def kill(self) -> None:
        if self._descriptor is not None:
            try:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            except ProcessLookupError:
                return

    def wait(self) -> int:
        if self._descriptor is not None:
            select.select([self._descriptor], [], [])
            os.close(self._descriptor)
            self._descriptor = None
        return 0


def load_tiny(faults: Path | None = None) -> PhotoMaker:
    """The tiny model. A file in ``faults`` names what happens at the next step while it is there: ``hangs``,
    ``segfault``, ``killed``, ``lost``, ``poison``; or, as it loads, ``no load``."""
    if faults is not None and (faults / "no load").exists():
        raise OSError("the disk is gone")
    model = _tiny()
    if faults is not None:
        model.base.unet.register_forward_pre_hook(partial(_fail, faults))
    return model


@cache
def _tiny() -> PhotoMaker:
    """Loaded once, before the forks."""
    quiet_libraries()
    torch.set_num_threads(1)
    return load_photomaker(TINY_BASE, TINY_ADAPTER, hardware=CPU)


def _fail(faults: Path, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
    wanted = {one.name for one in faults.iterdir()}
    if "hangs" in wanted:
        time.sleep(1000)
    if "segfault" in wanted:
        ctypes.string_at(0)
    if "killed" in wanted or ("poison" in wanted and inputs[0].shape[-1] * 8 >= POISONED_PX):
        os.kill(os.getpid(), signal.SIGKILL)
    if "lost" in wanted:
        raise RuntimeError("device lost")


def _fork_for_ever(descriptor: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asked = socket.socket(fileno=descriptor)
    while True:
        word, descriptors, _, _ = socket.recv_fds(asked, 4, 1)
        if not word:
            os._exit(0)
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asked.close()
            serve(Connection(descriptors[0]))
        os.close(descriptors[0])
        asked.sendall(array.array("q", [pid]).tobytes())


if __name__ == "__main__":
    # Workers unpickle what belongs to the module by its name, which is another module than this one.
    importlib.import_module("tests.support.worker_process").load_tiny()
    _fork_for_ever(int(sys.argv[1]))
