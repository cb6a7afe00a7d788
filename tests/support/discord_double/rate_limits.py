"""Discord's rate limits: a bucket for each route and major parameter, and one for all requests of the bot together."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

_MAJOR = ("channel", "guild", "token")


@dataclass
class _Bucket:
    limit: int
    per_s: float
    remaining: int
    reset_at_s: float


@dataclass(frozen=True)
class Verdict:
    """The headers of an answer; ``retry_after_s`` is set where the request is refused."""

    headers: dict[str, str]
    retry_after_s: float | None = None
    is_global: bool = False


class RateLimits:
    """Counts requests. A route has 50 a second until a test says otherwise; all of them together as well.

    ``refused`` counts the requests that were too many: a bot that reads the headers has few.
    """

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, ...], _Bucket] = {}
        self._limits: dict[tuple[str, str], tuple[int, float]] = {}
        self._all = _Bucket(50, 1.0, 50, 0.0)
        self.refused = 0

    def of_route(self, method: str, template: str, limit: int, per_s: float) -> None:
        """Allow ``limit`` requests in ``per_s`` seconds for a route, such as ``/channels/{channel}/messages``."""
        self._limits[method, template] = limit, per_s
        self._buckets.clear()

    def of_all(self, limit: int, per_s: float) -> None:
        """Allow ``limit`` requests in ``per_s`` seconds for the whole bot, interactions apart."""
        self._all = _Bucket(limit, per_s, limit, 0.0)

    def take(self, method: str, template: str, parts: dict[str, str]) -> Verdict:
        """Count one request."""
        is_of_interaction = "{token}" in template
        key = (method, template, *(parts.get(name, "") for name in _MAJOR))
        limit, per_s = self._limits.get((method, template), (50, 1.0))
        bucket = self._buckets.setdefault(key, _Bucket(limit, per_s, limit, 0.0))
        if not is_of_interaction and (wait_s := _take(self._all)) is not None:
            self.refused += 1
            headers = {"Retry-After": f"{wait_s:.3f}", "X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}
            return Verdict(headers, wait_s, is_global=True)
        wait_s = _take(bucket)
        reset_after_s = max(0.0, bucket.reset_at_s - time.monotonic())
        headers = {
            "X-RateLimit-Bucket": hashlib.sha256(f"{method} {template}".encode()).hexdigest()[:32],
            "X-RateLimit-Limit": str(bucket.limit),
            "X-RateLimit-Remaining": str(bucket.remaining),
            "X-RateLimit-Reset": f"{time.time() + reset_after_s:.3f}",
            "X-RateLimit-Reset-After": f"{reset_after_s:.3f}",
        }
        if wait_s is None:
            return Verdict(headers)
        self.refused += 1
        return Verdict(headers | {"Retry-After": f"{wait_s:.3f}", "X-RateLimit-Scope": "user"}, wait_s)


def _take(bucket: _Bucket) -> float | None:
    """Take one request from a bucket; the seconds until the next where it is empty."""
    now_s = time.monotonic()
    if now_s >= bucket.reset_at_s:
        bucket.remaining, bucket.reset_at_s = bucket.limit, now_s + bucket.per_s
    if bucket.remaining == 0:
        return bucket.reset_at_s - now_s
    bucket.remaining -= 1
    return None
