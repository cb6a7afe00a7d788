"""How often Discord is called for a job, whatever its length."""

from __future__ import annotations

from collections import Counter

from tests.server import Server


async def test_a_long_job_takes_a_handful_of_calls(studio: Server) -> None:
    await studio.add(studio.ada, "newton")
    calls = []
    for steps in (5, 100):
        before = len(studio.env.http_requests)
        await studio.command(studio.ada, "imagine", prompt="a man img", steps=steps)
        calls.append(Counter(one.method for one in studio.env.http_requests[before:]))
    assert sum(calls[0].values()) <= 4
    assert sum(calls[1].values()) <= sum(calls[0].values()) + 2
