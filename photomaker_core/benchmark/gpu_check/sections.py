"""Sections of a check: each stands alone, so that one that fails or takes too long costs the others nothing."""

from __future__ import annotations

import gc
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import psutil
import torch

Record = dict[str, str | int | float | bool]
Tables = dict[str, list[Record]]


@dataclass(frozen=True, slots=True)
class Section:
    """One measurement. It is skipped where less than ``needs_s`` is left, and stopped after ``at_most_s``."""

    name: str
    needs_s: float
    at_most_s: float
    measure: Callable[[], Tables]


@dataclass(slots=True)
class Findings:
    """Tables by title, and of each section its seconds, the traceback it ended with, or why it was left out."""

    tables: Tables = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


class OutOfTimeError(Exception):
    """A section took longer than it may."""


def run_sections(
    sections: Sequence[Section], budget_s: float, keep: Callable[[Findings], None], say: Callable[[str], None]
) -> Findings:
    """Run sections in order until ``budget_s`` seconds after the process began; ``keep`` is called after each."""
    findings = Findings()
    for section in sections:
        left_s = budget_s - (time.time() - psutil.Process().create_time())
        if left_s < section.needs_s:
            findings.skipped[section.name] = f"needs {section.needs_s:.0f} s; {max(0.0, left_s):.0f} s were left"
            say(f"{section.name}: skipped, {findings.skipped[section.name]}")
            continue
        started_s = time.perf_counter()
        try:
            with _at_most(min(section.at_most_s, left_s)):
                tables = section.measure()
        except Exception:
            findings.failed[section.name] = traceback.format_exc()
            say(findings.failed[section.name])
        else:
            for title, records in tables.items():
                findings.tables.setdefault(title, []).extend(records)
        findings.seconds[section.name] = time.perf_counter() - started_s
        say(f"{section.name}: {findings.seconds[section.name]:.1f} s, {left_s:.0f} s were left before")
        keep(findings)
        _free_memory()
    keep(findings)
    return findings


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise OutOfTimeError(f"stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
