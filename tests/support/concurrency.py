"""Doing the same twenty times at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")

TIMES = 20


async def at_once(work: Iterable[Awaitable[T]], refused: type[Exception] | None = None) -> list[T]:
    """Run all of it at once; returns the results of what succeeded. Only errors of type ``refused`` are expected."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for one in outcomes:
        if isinstance(one, BaseException) and not (refused and isinstance(one, refused)):
            raise one
    return [one for one in outcomes if not isinstance(one, BaseException)]
