"""The demo's page, started as ``make demo`` starts it and used with keyboard and mouse in Chromium."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@contextmanager
def chromium_page() -> Iterator[Page]:
    """A page in Debian's Chromium."""
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
    """Start the demo as ``make demo`` does, yield the printed address, and stop it as Ctrl+C does.

    Nothing of it is left running, whatever happens meanwhile.
    """
    with started(demo_command(folder)) as process:
        yield address_of(process)
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
        assert complaints == "", complaints
        assert process.returncode == 0, process.returncode


@contextmanager
def started(command: list[str], *, ignoring: signal.Signals | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, which ends with the block; it may inherit an ignored signal."""
    before = None if ignoring is None else signal.signal(ignoring, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    finally:
        if ignoring is not None:
            signal.signal(ignoring, before)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def address_of(process: subprocess.Popen[str]) -> str:
    """Wait until a demo prints its address."""
    assert process.stdout is not None
    ready = process.stdout.readline()
    assert ready.startswith("ready: http://127.0.0.1:"), process.communicate()[1]
    return ready.removeprefix("ready: ").strip()


@dataclass
class Channel:
    """The page's channel, used by keyboard and mouse."""

    page: Page

    def use(self, command: str, **options: str | list[Path]) -> None:
        page = self.page
        page.locator("#channel-composer-input").click()
        page.keyboard.type(f"/{command}")
        # The page fetches the commands meanwhile; until they are there, Enter would send the text as a message.
        page.locator(".command-entry").get_by_text(f"/{command}", exact=True).wait_for()
        page.keyboard.press("Enter")
        page.locator(".command-chip").get_by_text(f"/{command}", exact=True).wait_for()
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

    def view_as(self, name: str) -> None:
        """Become another member; the page must be theirs and stay so."""
        picker = self.page.locator("#viewer-picker")
        member = picker.get_by_role("option", name=name, exact=True).get_attribute("value")
        assert member is not None
        picker.select_option(member)
        settled = re.compile("Viewer switched|Action completed|Viewport updated")
        expect(self.page.locator("#action-status")).to_have_text(settled, timeout=60_000)
        expect(picker).to_have_value(member, timeout=60_000)

    def _option(self, selector: str, name: str) -> Locator:
        """The field of an option; an optional one is added to the command first."""
        field = self.page.locator(selector)
        if field.count() == 0:
            self.page.locator(".command-ghost").click()
            self.page.locator(".command-popup").get_by_text(name, exact=True).click()
        return field
