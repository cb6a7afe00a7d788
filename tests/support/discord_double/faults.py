"""Faults that a test orders for the next requests of a route, or for a share of all of them."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import random
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

_FOR_MEMBERS = ("/interactions/", "/webhooks/", "/channels/", "/attachments/")
_CLOUDFLARE = "<html><head><title>Bad gateway</title></head><body>cloudflare</body></html>"


@dataclass(frozen=True)
class Fault:
    """What a request meets. A ``late`` one strikes when the request has been carried out: only its answer is lost.

    ``how`` is ``answer`` (``status`` and ``body``), ``reset`` (the connection breaks), ``silence`` (no answer ever),
    ``cut`` (the connection breaks in the middle of the body) or ``slow`` (the body takes ``seconds``).
    """

    name: str
    how: str = "answer"
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    late: bool = False
    seconds: float = 0.0


def answer(status: int, code: int = 0, *, words: str = "a fault", late: bool = False) -> Fault:
    """An error as Discord words it; 5xx without a code come as Cloudflare's page."""
    is_page = status >= 500 and not code
    body = _CLOUDFLARE if is_page else {"code": code, "message": words}
    return Fault(f"{status}/{code}{' late' if late else ''}", status=status, body=body, late=late)


def limited(retry_after_s: float, *, is_global: bool = False, from_cloudflare: bool = False) -> Fault:
    """429. Cloudflare's own comes as a page and names its wait in the header alone."""
    scope = "global" if is_global else "shared"
    headers = {"Retry-After": str(retry_after_s), "X-RateLimit-Scope": scope}
    body: Any = {"message": "You are being rate limited.", "retry_after": retry_after_s, "global": is_global}
    if from_cloudflare:
        return Fault("429 of Cloudflare", status=429, body="error code: 1015", headers=headers)
    if is_global:
        headers["X-RateLimit-Global"] = "true"
    return Fault(f"429 {scope}", status=429, body=body, headers=headers | {"Via": "1.1 google"})


def reset(*, late: bool = False) -> Fault:
    return Fault(f"reset{' late' if late else ''}", "reset", late=late)


def silence(*, late: bool = False) -> Fault:
    return Fault(f"silence{' late' if late else ''}", "silence", late=late)


def cut() -> Fault:
    return Fault("half an answer", "cut", late=True)


def slow(seconds: float) -> Fault:
    return Fault(f"slow {seconds:g}", "slow", late=True, seconds=seconds)


@dataclass
class _Order:
    method: str
    path: str
    saying: str
    fault: Fault
    times: float


class Faults:
    """The faults to come. ``met`` are the names of those that came, in order."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._share, self._rng, self._common = 0.0, random.Random(0), (reset(late=True),)
        self.met: list[str] = []
        self._end = asyncio.Event()

    def at(self, method: str, path: str, fault: Fault, *, saying: str = "", times: float = 1) -> None:
        """Let ``fault`` meet the next requests of a method to a path, an fnmatch pattern, that hold some words."""
        self._orders.append(_Order(method, path, saying, fault, times))

    def often(self, share: float, seed: int, *common: Fault) -> None:
        """Let one of ``common`` meet a share of all requests that answer members, those of the start apart."""
        self._share, self._rng, self._common = share, random.Random(seed), common

    def clear(self) -> None:
        self._orders.clear()
        self._share = 0.0
        self.met.clear()

    def close(self) -> None:
        """Let go of the requests that wait in silence."""
        self._end.set()

    def next(self, method: str, path: str, content: str) -> Fault | None:
        """The fault that a request meets, if any."""
        for order in self._orders:
            if order.method == method and fnmatch.fnmatch(path, order.path) and order.saying in content:
                order.times -= 1
                if order.times <= 0:
                    self._orders.remove(order)
                self.met.append(order.fault.name)
                return order.fault
        if self._share and path.startswith(_FOR_MEMBERS) and self._rng.random() < self._share:
            return self._rng.choice(self._common)
        return None

    async def strike(self, request: web.Request, fault: Fault, usual: web.Response | None) -> web.StreamResponse:
        """Answer as the fault says; ``usual`` is the answer without it, of a request that was carried out."""
        if fault.how == "answer":
            return response(fault.body, fault.status, fault.headers)
        if fault.how == "silence":
            await self._end.wait()
        if fault.how in ("reset", "silence"):
            return _broken(request)
        content = usual.body if usual is not None and isinstance(usual.body, bytes) else b""
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        stream = web.StreamResponse(status=200 if usual is None else usual.status, headers=headers)
        await stream.prepare(request)
        await stream.write(content[: len(content) // 2])
        if fault.how == "cut":
            return _broken(request, stream)
        await asyncio.sleep(fault.seconds)
        await stream.write(content[len(content) // 2 :])
        await stream.write_eof()
        return stream


def response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON as Discord sends it, without a charset in the content type; a text as a page."""
    if isinstance(content, str):
        return web.Response(text=content, status=status, headers=headers, content_type="text/html")
    if content is None:
        return web.Response(status=204, headers=headers)
    kind = {"Content-Type": "application/json", **(headers or {})}
    return web.Response(body=json.dumps(content).encode(), status=status, headers=kind)


def _broken(request: web.Request, stream: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return stream or web.Response()
