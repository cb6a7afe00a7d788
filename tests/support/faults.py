"""Faults of the simulated Discord in front of any request of the bot's, and nonces, which it does not know itself."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any

import pytest
from simcord.backend.errors import BackendError
from simcord.http import router


@dataclass(frozen=True)
class Fault:
    """What a request meets instead of an answer."""

    name: str
    error: Exception


def answer(status: int, code: int = 0) -> Fault:
    return Fault(f"{status}/{code}", BackendError(status, code, "a fault"))


@dataclass(slots=True)
class _Waiting:
    """A fault that meets so many more requests of a method to a path that hold some words."""

    method: str
    path: str
    words: str
    fault: Fault
    times: int


class Faults:
    """The faults to come, each for the next request that fits."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._by_nonce: dict[tuple[str, str], Any] = {}
        self.met: list[str] = []

    def at(self, method: str, path: str, fault: Fault, *, saying: str = "", times: int = 1) -> None:
        """Let ``fault`` meet the next requests of a method to a path, an fnmatch pattern, that hold some words."""
        self._waiting.append(_Waiting(method, path, saying, fault, times))

    def clear(self) -> None:
        self._waiting.clear()
        self.met.clear()

    def forget_nonces(self) -> None:
        """Let some minutes pass, after which Discord does not know nonces any more."""
        self._by_nonce.clear()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        dispatch = router.dispatch

        def faulty(backend: Any, method: str, path: str, **how: Any) -> Any:
            content = how.get("json")
            fault = self._next(method, path, str(content))
            if fault is not None:
                raise fault.error
            nonce = content.get("nonce") if isinstance(content, dict) else None
            key = (path, str(nonce))
            if nonce is None or key not in self._by_nonce:
                self._by_nonce[key] = dispatch(backend, method, path, **how)
            return self._by_nonce[key]

        monkeypatch.setattr(router, "dispatch", faulty)

    def _next(self, method: str, path: str, content: str) -> Fault | None:
        for one in self._waiting:
            if one.times and one.method == method and fnmatch.fnmatch(path, one.path) and one.words in content:
                one.times -= 1
                self.met.append(one.fault.name)
                return one.fault
        return None
