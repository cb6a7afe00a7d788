"""Tests of the number of calls to Discord for a job, whatever its length."""

from __future__ import annotations

from collections import Counter

from tests.support.server import Server


async def test_a_long_job_takes_a_handful_of_calls(server: Server) -> None:
    await server.add(server.ada, "newton")
    calls = []
    for steps in (5, 100):
        before = len(server.env.http_requests)
        await server.command(server.ada, "imagine", prompt="a man img", steps=steps)
        calls.append(Counter(one.method for one in server.env.http_requests[before:]))
    assert sum(calls[0].values()) <= 4
    assert sum(calls[1].values()) <= sum(calls[0].values()) + 2
