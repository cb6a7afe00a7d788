"""Downloads pictures politely and suspiciously: few at a time, robots.txt kept, nothing larger or other than asked."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.robotparser import RobotFileParser

import aiohttp
from yarl import URL

from photomaker_core.dataset.dataset_config import DownloadConfig
from photomaker_core.dataset.fetch.addresses import PRIVATE, PublicResolver, is_public
from photomaker_core.dataset.fetch.candidate import TOO_LARGE, RefusedError

_MOST_REDIRECTS: Final = 5
_ROBOTS_BYTES: Final = 512 * 1024
_NOTHING_ALLOWED: Final = ("User-agent: *", "Disallow: /")
_CHUNK_BYTES: Final = 65_536
_LONGEST_WAIT_S: Final = 60.0
_TYPES: Final = frozenset(
    {"image/jpeg", "image/jpg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/x-ms-bmp"}
)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class _PassingError(Exception):
    """A failure that may be over soon; ``wait_s`` is what the server asked for."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Downloader:
    """Downloads within one event loop; robots.txt of each host is asked for once."""

    def __init__(self, session: aiohttp.ClientSession, config: DownloadConfig, max_bytes: int) -> None:
        self._session, self._config, self._max_bytes = session, config, max_bytes
        self._slots = asyncio.Semaphore(config.concurrency)
        self._robots: dict[str, asyncio.Task[RobotFileParser]] = {}

    async def fetch(self, url: str) -> bytes:
        """The picture's bytes; raises :class:`RefusedError` with the reason when they are not to be had."""
        async with self._slots:
            for attempt in range(self._config.retries + 1):
                try:
                    return await self._follow(url)
                except _PassingError as error:
                    if attempt == self._config.retries:
                        raise RefusedError(str(error)) from error
                    wait = error.wait_s if error.wait_s is not None else self._config.backoff_s * 2**attempt
                    await asyncio.sleep(min(wait, _LONGEST_WAIT_S))
        raise AssertionError("unreachable")

    async def _follow(self, url: str) -> bytes:
        here = _parsed(url)
        for _ in range(_MOST_REDIRECTS + 1):
            self._check(here)
            if self._config.robots and not await self._is_allowed(here):
                raise RefusedError("robots.txt forbids it")
            content = await self._get(here, self._max_bytes, _TYPES)
            if isinstance(content, bytes):
                return content
            here = content
        raise RefusedError("too many redirects")

    def _check(self, url: URL) -> None:
        if url.scheme not in ("http", "https") or not url.host:
            raise RefusedError("no http or https address")
        literal = url.host.replace(":", "").replace(".", "").isalnum() and (":" in url.host or url.host[-1].isdigit())
        if literal and not self._config.private_addresses and not is_public(url.host):
            raise RefusedError(PRIVATE)

    async def _get(self, url: URL, most_bytes: int, types: frozenset[str] | None) -> bytes | URL:
        """The body, or where the server sends us."""
        try:
            async with asyncio.timeout(self._config.timeout_s), self._session.get(url, allow_redirects=False) as answer:
                if answer.status in _REDIRECTS and "Location" in answer.headers:
                    return url.join(_parsed(answer.headers["Location"]))
                if answer.status in _PASSING:
                    raise _PassingError(f"HTTP status {answer.status}", _retry_after(answer))
                if answer.status != 200:
                    raise RefusedError(f"HTTP status {answer.status}")
                if types is not None and answer.content_type.lower() not in types:
                    raise RefusedError("not served as a picture")
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise RefusedError("a packed body")
                if (answer.content_length or 0) > most_bytes:
                    raise RefusedError(TOO_LARGE)
                return await _body(answer, most_bytes)
        except TimeoutError as error:
            raise _PassingError("timed out") from error
        except aiohttp.ClientError as error:
            raise _PassingError(f"no connection ({type(error).__name__})") from error
        except (ValueError, UnicodeError) as error:
            raise RefusedError("no valid address") from error

    async def _is_allowed(self, url: URL) -> bool:
        origin = str(url.origin())
        if origin not in self._robots:
            self._robots[origin] = asyncio.create_task(self._read_robots(url))
        rules = await self._robots[origin]
        return rules.can_fetch(self._config.user_agent, str(url))

    async def _read_robots(self, url: URL) -> RobotFileParser:
        """As RFC 9309 has it: a host without the file allows all, one that cannot answer allows nothing."""
        rules = RobotFileParser()
        here = url.origin().with_path("/robots.txt")
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                self._check(here)
                content = await self._get(here, _ROBOTS_BYTES, None)
                if isinstance(content, bytes):
                    rules.parse(content.decode("utf-8", "replace").splitlines())
                    return rules
                here = content
            rules.parse([])
        except RefusedError as error:
            rules.parse([] if str(error).startswith("HTTP status 4") else _NOTHING_ALLOWED)
        except _PassingError:
            rules.parse(_NOTHING_ALLOWED)
        return rules


@asynccontextmanager
async def downloader(config: DownloadConfig, max_bytes: int) -> AsyncIterator[Downloader]:
    """A downloader with its connections; bodies arrive as they were sent, never unpacked."""
    connector = aiohttp.TCPConnector(
        limit=config.concurrency,
        limit_per_host=config.per_host,
        resolver=None if config.private_addresses else PublicResolver(),
        use_dns_cache=False,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": config.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=config.timeout_s),
    ) as session:
        yield Downloader(session, config, max_bytes)


async def _body(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > most_bytes:
            raise RefusedError(TOO_LARGE)
    return bytes(body)


def _parsed(url: str) -> URL:
    try:
        return URL(url)
    except (ValueError, TypeError) as error:
        raise RefusedError("no valid address") from error


def _retry_after(answer: aiohttp.ClientResponse) -> float | None:
    value = answer.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
