"""Keeps the cyclic garbage collector away from what libraries make while they load. Called where a process starts."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_kept() -> Iterator[None]:
    """Pause the collector in the block, and leave everything that is there at its end out of later collections.

    Importing torch, diffusers and transformers makes millions of objects that live as long as the process.
    Collections meanwhile find nothing and cost a fifth of the time; every full one afterwards would look at them
    all and stop every thread for about a third of a second, the bot's event loop among them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
