"""Sharing the processor: threads follow what other programs leave free."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photomaker_core.cpu_threads import CpuThreads, CpuUse, bound_spinning, measured_use


class Machine:
    """Other programs' use of the cores, told second by second."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.clock_s = self.others_s = self.own_s = 0.0
        self.set_to: list[int] = []
        self.threads = CpuThreads(cores, self.set_to.append, self.use, cores)

    def use(self) -> CpuUse:
        return CpuUse(self.clock_s, self.others_s + self.own_s, self.own_s)

    def second(self, others: float) -> None:
        self.clock_s += 1.0
        self.others_s += others
        self.own_s += self.cores - others
        self.threads.adapt()


def test_an_idle_machine_is_used_whole() -> None:
    machine = Machine(4)
    for _ in range(5):
        machine.second(others=0.2)
    assert machine.set_to == []


def test_what_others_use_is_left_to_them_until_they_are_done() -> None:
    machine = Machine(4)
    machine.second(others=1.0)
    machine.second(others=4.0)
    machine.second(others=0.0)
    assert machine.set_to == [3, 1, 4]


@given(st.integers(2, 64), st.lists(st.floats(0, 200, allow_nan=False), max_size=20))
def test_there_is_always_a_thread_and_never_more_than_allowed(cores: int, loads: list[float]) -> None:
    machine = Machine(cores)
    for load in loads:
        machine.second(others=load)
        assert 1 <= machine.threads.threads <= cores


def test_it_looks_at_most_once_a_second() -> None:
    machine = Machine(2)
    for _ in range(9):
        machine.clock_s += 0.1
        machine.others_s += 0.2
        machine.threads.adapt()
    assert machine.set_to == []


def test_the_measured_use_grows_with_work() -> None:
    before = measured_use()
    sum(number * number for number in range(2_000_000))
    after = measured_use()
    assert after.own_s > before.own_s
    assert after.clock_s > before.clock_s


@pytest.mark.parametrize(("given_value", "expected"), [(None, "10000"), ("5", "5")])
def test_spinning_is_bounded_unless_the_environment_says_otherwise(
    given_value: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if given_value is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", given_value)
    bound_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == expected
    monkeypatch.delenv("GOMP_SPINCOUNT")


@pytest.mark.parametrize("module", ["bot.cli", "photomaker_core.cli.main"])
def test_the_commands_bound_it_before_torch_is_loaded(module: str) -> None:
    code = (
        f"import os, sys, {module} as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    plain = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=plain, check=True)
    assert done.stdout.splitlines()[-1] == "10000 False"
