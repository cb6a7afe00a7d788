"""The fetch stage against sources that mean harm: nothing is written outside the folder, every refusal has a reason."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tarfile
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from photomaker_core.dataset.dataset_config import (
    DatasetConfig,
    DownloadConfig,
    NetworkChoice,
    RulesConfig,
    SourceConfig,
)
from photomaker_core.dataset.fetch.addresses import is_public
from photomaker_core.dataset.fetch.fetch_stage import fetch
from photomaker_core.dataset.picture_store import PictureStore
from photomaker_core.dataset.rows import PictureRow
from photomaker_core.dataset.tables import Table

MAX_BYTES = 200_000


def jpeg(side: int = 80, colour: str = "navy") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def bomb(side: int = 40_000) -> bytes:
    """A PNG of some kilobytes that would unpack to 1.6 gigapixels."""
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    body = zlib.compress(bytes(1 + side // 8) * 200)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def configuration(folder: Path, source: SourceConfig, **download: object) -> DatasetConfig:
    quick = {"timeout_s": 1.0, "retries": 1, "backoff_s": 0.01, "private_addresses": True, **download}
    return DatasetConfig(
        folder=folder / "out",
        source=source,
        faces=NetworkChoice("drawn"),
        captions=NetworkChoice("drawn"),
        download=DownloadConfig(**quick),  # type: ignore[arg-type]
        rules=RulesConfig(max_bytes=MAX_BYTES, min_side_px=64),
        batch_rows=7,
    )


def fetched(config: DatasetConfig) -> list[PictureRow]:
    table = Table(config.folder / "tables" / "fetch")
    table.begin("test")
    fetch(config, PictureStore(config.folder / "pictures"), table, lambda rows, is_new: None)
    return list(table.rows())


class HostileServer:
    """Serves what a web search can bring, and counts what is asked of it."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.most_at_once = 0
        self.port = 0
        self._now = 0
        self._loop = asyncio.new_event_loop()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def start(self) -> None:
        ready = threading.Event()

        async def serve() -> None:
            app = web.Application(middlewares=[self._count])
            app.router.add_get("/{path:.*}", self._answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert site._server is not None
            self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
            self._runner = runner
            ready.set()

        def run() -> None:
            self._loop.run_until_complete(serve())
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        ready.wait(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @web.middleware
    async def _count(self, request: web.Request, handler: object) -> web.StreamResponse:
        self.asked[request.path] += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            response: web.StreamResponse = await handler(request)  # type: ignore[operator]
            return response
        finally:
            self._now -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/robots.txt":
            return web.Response(text="User-agent: *\nDisallow: /secret/\n")
        if path.startswith("/slow/"):
            await asyncio.sleep(0.05)
        if path == "/flaky.jpg" and self.asked[path] == 1:
            return web.Response(status=503, headers={"Retry-After": "0"})
        if path == "/to-file.jpg":
            return web.Response(status=302, headers={"Location": "file:///etc/passwd"})
        if path == "/to-metadata.jpg":
            return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"})
        if path == "/loop.jpg":
            return web.Response(status=302, headers={"Location": "/loop.jpg"})
        if path == "/moved.jpg":
            return web.Response(status=301, headers={"Location": "/good.jpg"})
        if path == "/page.jpg":
            return web.Response(text="<html>", content_type="text/html")
        if path == "/lies.jpg":
            return web.Response(body=b"no picture at all", content_type="image/jpeg")
        if path == "/bomb.png":
            return web.Response(body=bomb(), content_type="image/png")
        if path == "/packed.jpg":
            return web.Response(
                body=zlib.compress(bytes(10_000_000)),
                content_type="image/jpeg",
                headers={"Content-Encoding": "deflate"},
            )
        if path == "/gone.jpg":
            return web.Response(status=404)
        if path == "/huge.jpg":
            return web.Response(body=bytes(MAX_BYTES + 1), content_type="image/jpeg")
        if path in ("/endless.jpg", "/trickle.jpg"):
            return await self._stream(request, fast=path == "/endless.jpg")
        return web.Response(body=jpeg(), content_type="image/jpeg")

    async def _stream(self, request: web.Request, fast: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(65_536 if fast else 1))
                await asyncio.sleep(0 if fast else 0.1)
        except ConnectionError:
            return response


@pytest.fixture
def server() -> Iterator[HostileServer]:
    server = HostileServer()
    server.start()
    yield server
    server.stop()


def url_list(folder: Path, rows: list[tuple[str, str]]) -> SourceConfig:
    path = folder / "urls.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("person", "url", "licence"))
        writer.writerows((*row, "CC0") for row in rows)
    return SourceConfig(urls=str(path))


def test_a_list_of_urls_brings_pictures_and_reasons(tmp_path: Path, server: HostileServer) -> None:
    reasons = {
        "good.jpg": "",
        "moved.jpg": "",
        "flaky.jpg": "",
        "to-file.jpg": "no http or https address",
        "loop.jpg": "too many redirects",
        "page.jpg": "not served as a picture",
        "lies.jpg": "no picture",
        "bomb.png": "too many pixels",
        "packed.jpg": "a packed body",
        "gone.jpg": "HTTP status 404",
        "huge.jpg": "too many bytes",
        "endless.jpg": "too many bytes",
        "trickle.jpg": "timed out",
        "secret/x.jpg": "robots.txt forbids it",
    }
    source = url_list(tmp_path, [("Ada", server.url(path)) for path in reasons])
    rows = fetched(configuration(tmp_path, source))
    assert {row.source.removeprefix(server.url("")): row.reason for row in rows} == reasons
    assert all(row.licence == "CC0" for row in rows)
    assert server.asked["/secret/x.jpg"] == 0
    assert server.asked["/robots.txt"] == 2, "once in each of the two batches"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/good.jpg",
        "http://localhost:{port}/good.jpg",
        "http://[::1]:{port}/good.jpg",
        "http://[::ffff:127.0.0.1]:{port}/good.jpg",
        "http://10.0.0.1/x.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0:{port}/x.jpg",
        "http://2130706433:{port}/x.jpg",
        "http://0x7f.1:{port}/x.jpg",
    ],
)
def test_the_machine_and_its_network_are_refused(tmp_path: Path, server: HostileServer, url: str) -> None:
    source = url_list(tmp_path, [("Ada", url.format(port=server.port))])
    (row,) = fetched(configuration(tmp_path, source, private_addresses=False, robots=False))
    assert row.reason == "a private or local address"
    assert not server.asked


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x.jpg", "", "http://", "no url", "http://["])
def test_what_is_no_address_is_dropped(tmp_path: Path, url: str) -> None:
    (row,) = fetched(configuration(tmp_path, url_list(tmp_path, [("Ada", url)]), private_addresses=False, robots=False))
    assert row.reason in ("no http or https address", "no valid address")


def test_a_redirect_to_a_private_address_is_refused(
    tmp_path: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photomaker_core.dataset.fetch.download.is_public", lambda address: address == "127.0.0.1")
    source = url_list(tmp_path, [("Ada", server.url("to-metadata.jpg"))])
    (row,) = fetched(configuration(tmp_path, source, private_addresses=False, robots=False))
    assert row.reason == "a private or local address"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("::ffff:192.168.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
        ("224.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_public_addresses_are_told_from_others(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_few_downloads_run_at_once(tmp_path: Path, server: HostileServer) -> None:
    source = url_list(tmp_path, [("Ada", server.url(f"slow/{number}.jpg")) for number in range(14)])
    config = replace(configuration(tmp_path, source, per_host=2, robots=False), batch_rows=20)
    assert all(row.is_kept for row in fetched(config))
    assert server.most_at_once == 2


def test_a_host_that_cannot_answer_for_robots_gets_no_requests(tmp_path: Path) -> None:
    source = url_list(tmp_path, [("Ada", "http://127.0.0.1:9/x.jpg")])
    (row,) = fetched(configuration(tmp_path, source))
    assert row.reason == "robots.txt forbids it"


def tar_with(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> SourceConfig:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return SourceConfig(tars=(str(path),))


def test_members_of_a_tar_are_data_and_never_paths(tmp_path: Path) -> None:
    before = set(tmp_path.parent.rglob("*"))
    source = tar_with(
        tmp_path / "set.tar",
        {
            "Ada/1.jpg": jpeg(),
            "Ada/1.json": json.dumps({"person": "Ada Lovelace", "licence": "CC BY", "url": "https://x/1"}).encode(),
            "/etc/evil.jpg": jpeg(colour="red"),
            "../../evil.jpg": jpeg(colour="red"),
            "Ada\\..\\evil.jpg": jpeg(colour="red"),
            "Ada/huge.png": bytes(MAX_BYTES + 1),
            "Ada/bomb.png": bomb(),
            "Ada/broken.json": b"{",
            "Ada/broken.jpg": jpeg()[:-60],
            "sample.txt": b"not asked for",
        },
        {"Ada/link.jpg": "/etc/passwd"},
    )
    rows = {row.source: row for row in fetched(configuration(tmp_path, source))}
    assert rows["https://x/1"].person == "Ada Lovelace"
    assert rows["https://x/1"].licence == "CC BY"
    assert {source: row.reason for source, row in rows.items() if not row.is_kept} == {
        "set.tar:/etc/evil.jpg": "unsafe member path",
        "set.tar:../../evil.jpg": "unsafe member path",
        "set.tar:Ada\\..\\evil.jpg": "unsafe member path",
        "set.tar:Ada/huge.png": "too many bytes",
        "set.tar:Ada/bomb.png": "too many pixels",
        "set.tar:Ada/broken.jpg": "damaged or cut off",
        "set.tar:Ada/link.jpg": "no regular file",
    }
    written = set(tmp_path.parent.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path) for path in written)


def test_a_damaged_tar_is_one_drop(tmp_path: Path) -> None:
    path = tmp_path / "cut.tar"
    source = tar_with(path, {"Ada/1.jpg": jpeg(), "Ada/2.jpg": jpeg(colour="red")})
    path.write_bytes(path.read_bytes()[:700])
    assert "the tar is damaged" in [row.reason for row in fetched(configuration(tmp_path, source))]


def test_a_folders_links_do_not_lead_out(tmp_path: Path) -> None:
    home, outside = tmp_path / "in" / "Ada", tmp_path / "outside.jpg"
    home.mkdir(parents=True)
    outside.write_bytes(jpeg())
    (home / "1.jpg").write_bytes(jpeg(colour="red"))
    (home / "2.jpg").symlink_to(outside)
    (home / "3.jpg").symlink_to(tmp_path / "nothing.jpg")
    (home / "4.txt").write_text("no picture")
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    (tmp_path / "in" / "loose.png").write_bytes(jpeg(colour="green"))
    rows = fetched(configuration(tmp_path, SourceConfig(folder=str(tmp_path / "in"))))
    assert [(row.person, row.source, row.reason) for row in rows] == [
        ("in", "loose.png", ""),
        ("Ada", "Ada/1.jpg", ""),
        ("Ada", "Ada/2.jpg", "a link to outside of the source"),
        ("Ada", "Ada/3.jpg", "a link to outside of the source"),
    ]


@pytest.mark.parametrize("name", ["../../etc", "a/b", "\u202egpj.exe", "\x00", "CON", "a" * 5_000, "名前", "…"])
def test_any_name_is_only_a_name(tmp_path: Path, server: HostileServer, name: str) -> None:
    rows = fetched(configuration(tmp_path, url_list(tmp_path, [(name, server.url("good.jpg"))]), robots=False))
    assert [row.person for row in rows] == [name[:200]] or rows[0].reason == "no name"
    paths = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert all(name not in path for path in paths)


def test_a_name_of_blanks_is_no_name(tmp_path: Path) -> None:
    (row,) = fetched(configuration(tmp_path, url_list(tmp_path, [("  ", "https://example.org/x.jpg")]), retries=0))
    assert not row.is_kept
