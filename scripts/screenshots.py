"""Makes the pictures of docs/getting-started.md from the demo's real page: ``python -m scripts.screenshots FOLDER``."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.support.demo_page import Channel, chromium_page, running_demo

PICTURES = "img.attachment-image[alt^='picture-']"
_SIDE_PX = 128
_SETTLE_MS = 1500


def make(folder: Path) -> None:
    """Walk through the demo and keep a picture of each station."""
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.chdir(place),
        running_demo(Path("data/demo")) as address,
        chromium_page() as page,
    ):
        page.set_viewport_size({"width": 1000, "height": 820})
        page.goto(address)
        page.get_by_text("a simulated Discord").first.wait_for()
        page.screenshot(path=folder / "welcome.png")
        page.get_by_role("button", name="Add the sample people").click()
        page.get_by_text("You can draw").first.wait_for()
        page.get_by_role("button", name="Draw ada", exact=True).click()
        _wait_for_picture(page, 0)
        page.screenshot(path=folder / "picture.png")
        channel = Channel(page)
        channel.use("mix", id1="ada", id2="noah")
        _wait_for_picture(page, 1)
        page.screenshot(path=folder / "mix.png")
        channel.use("history")
        _show(page.get_by_role("button", name="Older", exact=True))
        page.screenshot(path=folder / "history.png")
        channel.view_as("admin")
        channel.use("admin show")
        _show(page.get_by_text("Blocked words").last)
        page.screenshot(path=folder / "admin.png")


def _show(part: Locator) -> None:
    """Wait until it is there, and scroll to it when the page has settled."""
    part.wait_for()
    part.page.wait_for_timeout(_SETTLE_MS)
    part.scroll_into_view_if_needed()
    part.page.wait_for_timeout(_SETTLE_MS)


def _wait_for_picture(page: Page, number: int) -> None:
    picture = page.locator(PICTURES).nth(number)
    picture.wait_for()
    expect(picture).to_have_js_property("naturalWidth", _SIDE_PX, timeout=60_000)
    _show(picture)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
