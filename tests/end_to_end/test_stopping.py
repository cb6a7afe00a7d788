"""Stopping ``run`` and ``demo`` as a terminal, a service manager and nohup do."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.demo_page import address_of, demo_command, started

TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"


@pytest.mark.parametrize(
    ("number", "ignoring"),
    [(signal.SIGTERM, None), (signal.SIGINT, signal.SIGINT)],
    ids=["in a terminal", "in the background"],
)
def test_the_demo_closes_what_it_has_open(
    tmp_path: Path, number: signal.Signals, ignoring: signal.Signals | None
) -> None:
    with started(demo_command(tmp_path), ignoring=ignoring) as demo:
        address_of(demo)
        demo.send_signal(number)
        _, complaints = demo.communicate(timeout=60)
    assert complaints == ""
    assert demo.returncode == 0
    assert not (tmp_path / "demo.db-wal").exists()


def test_a_stop_during_the_start_is_no_failure(tmp_path: Path) -> None:
    with started(demo_command(tmp_path)) as demo:
        time.sleep(1.5)
        demo.send_signal(signal.SIGTERM)
        _, complaints = demo.communicate(timeout=60)
    assert complaints == ""
    assert demo.returncode in (0, -signal.SIGTERM)


DRAINING = """
import asyncio, sys
from bot.tools.stop_signals import Stopping, exit_on_signal

async def serve(stopping):
    async def drain():
        print("draining", flush=True)
        await asyncio.sleep(float(sys.argv[1]))
    stopping.drain_by(drain)
    print("ready", flush=True)
    try:
        await asyncio.sleep(600)
    finally:
        print("closing", flush=True)
        await asyncio.sleep(float(sys.argv[2]))

exit_on_signal()
stopping = Stopping()
asyncio.run(stopping.until_stopped(serve(stopping)))
"""


SAID = ("ready", "draining", "closing")


@pytest.mark.parametrize(
    ("drain_s", "close_s", "signals", "status"),
    [(0, 0, 1, 0), (600, 0, 2, 0), (600, 600, 3, 1)],
    ids=["drained", "at once", "there and then"],
)
def test_each_further_signal_stops_sooner(drain_s: int, close_s: int, signals: int, status: int) -> None:
    command = [sys.executable, "-c", DRAINING, str(drain_s), str(close_s)]
    with started(command, ignoring=signal.SIGINT) as process:
        assert process.stdout is not None
        for number, said in zip([signal.SIGTERM, signal.SIGINT, signal.SIGTERM][:signals], SAID, strict=False):
            assert process.stdout.readline().strip() == said
            process.send_signal(number)
        _, complaints = process.communicate(timeout=60)
    assert complaints == ""
    assert process.returncode == status


def test_without_a_network_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    monkeypatch.setenv("HTTPS_PROXY", "")
    code = (
        "import socket, sys, bot.cli\n"
        "def refused(*_arguments, **_options): raise socket.gaierror(-2, 'Name or service not known')\n"
        "socket.getaddrinfo = refused\n"
        "sys.exit(bot.cli.main(['run']))"
    )
    with started([sys.executable, "-c", code]) as bot:
        _, complaints = bot.communicate(timeout=60)
    assert bot.returncode == 2
    assert "Discord cannot be reached" in complaints
    assert "Traceback" not in complaints
