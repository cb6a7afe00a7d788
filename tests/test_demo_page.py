"""The demo as a new user meets it: its page in Chromium, its store between two starts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.conftest import NEWTON

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; set CHROMIUM to its path"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1000, "height": 1300})
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


def demo_command(folder: Path, port: int = 0) -> list[str]:
    demo = [sys.executable, "-m", "bot.cli", "demo", "--no-browser"]
    return [*demo, "--port", str(port), "--data", str(folder)]


@contextmanager
def running_demo(folder: Path) -> Iterator[str]:
    """Start the demo as ``make demo`` does, yield the printed address, and stop it as Ctrl+C does."""
    process = subprocess.Popen(demo_command(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    try:
        assert ready.startswith("ready: http://127.0.0.1:"), process.communicate()[1]
        yield ready.removeprefix("ready: ").strip()
    finally:
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    assert complaints == ""


@dataclass
class Channel:
    """The page's channel, used by keyboard and mouse."""

    page: Page

    def use(self, command: str, **options: str | list[Path]) -> None:
        page = self.page
        page.locator("#channel-composer-input").click()
        page.keyboard.type(f"/{command}")
        page.keyboard.press("Enter")
        for name, value in options.items():
            if isinstance(value, list):
                for number, photo in enumerate(value, start=1):
                    self._option(f".command-file-input[data-option={name}{number}]", f"{name}{number}").set_input_files(
                        photo
                    )
            else:
                field = self._option(f".command-option-input[data-option={name}]", name)
                field.fill(value)
                if field.get_attribute("role") == "combobox":
                    page.locator(f".command-suggestion[data-value='{value}']").click()
        page.locator("#send-message").click()

    def _option(self, selector: str, name: str) -> Locator:
        """The field of an option; an optional one is added to the command first."""
        field = self.page.locator(selector)
        if field.count() == 0:
            self.page.locator(".command-ghost").click()
            self.page.locator(".command-popup").get_by_text(name, exact=True).click()
        return field


def test_add_draw_and_mix_on_the_page(page: Page, tmp_path: Path) -> None:
    with running_demo(tmp_path / "demo") as address:
        page.goto(address)
        channel = Channel(page)
        page.get_by_text("a simulated Discord").first.wait_for()
        channel.use("identity add", name="newton", consent="Fictional person or work of art", photo=NEWTON)
        page.get_by_text("with 4 photos").first.wait_for()
        sample = sorted((tmp_path / "demo" / "samples").iterdir())
        channel.use("identity add", name="ada", consent="Fictional person or work of art", photo=sample[:2])
        page.get_by_text("with 2 photos").first.wait_for()
        channel.use("imagine", prompt="a man img in a red hat", identity="newton")
        pictures = page.locator("img.attachment-image[alt^='picture-']")
        pictures.nth(0).wait_for()
        channel.use("mix", id1="newton", id2="ada")
        pictures.nth(1).wait_for()
        for number in (0, 1):
            expect(pictures.nth(number)).to_have_js_property("naturalWidth", 128, timeout=60_000)
        page.get_by_role("button", name="Again").last.click()
        pictures.nth(2).wait_for()
        page.screenshot(path=os.environ.get("DEMO_SCREENSHOT", tmp_path / "page.png"))


def test_a_second_start_knows_what_the_first_one_stored(page: Page, tmp_path: Path) -> None:
    with running_demo(tmp_path) as address:
        page.goto(address)
        Channel(page).use("identity add", name="newton", consent="Fictional person or work of art", photo=NEWTON[:1])
        page.get_by_text("with 1 photo").first.wait_for()
    with running_demo(tmp_path) as address:
        page.goto(address)
        Channel(page).use("identity list")
        page.get_by_text("1 photo, added").first.wait_for()


def test_a_port_in_use_gets_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(demo_command(tmp_path, port), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"Port {port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
