"""The demo as a new user meets it: its page in Chromium, its store between two starts."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.demo_page import CHROMIUM, Channel, chromium_page, demo_command, running_demo
from tests.support.tiny_model import NEWTON

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; set CHROMIUM to its path"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium_page() as opened:
        yield opened


def test_a_first_look_shows_what_to_expect_and_three_clicks_bring_a_picture(page: Page, tmp_path: Path) -> None:
    with running_demo(tmp_path) as address:
        page.goto(address)
        sheet = page.locator("img.attachment-image[alt='welcome.jpg'], img.attachment-image[alt^='Two sample people']")
        expect(sheet).to_have_js_property("naturalWidth", 648, timeout=60_000)
        header = page.locator("[data-message-id]").first
        expect(header).to_contain_text("PhotoMaker")
        expect(page.locator(".timeline-day-divider")).to_contain_text(str(datetime.now(UTC).year))
        expect(page.locator("body")).not_to_contain_text("TestBot")
        expect(page.locator(".entity-avatar-img").first).to_have_js_property("naturalWidth", 128, timeout=60_000)
        page.get_by_role("button", name="Add the sample people").click()
        page.get_by_text("You can draw").first.wait_for()
        page.get_by_role("button", name="Draw ada", exact=True).click()
        pictures = page.locator("img.attachment-image[alt^='picture-']")
        for number in range(2):
            picture = pictures.nth(number)
            expect(picture).to_have_js_property("naturalWidth", 128, timeout=60_000)
            expect(picture).to_be_in_viewport(ratio=0.99, timeout=20_000)
            assert picture.evaluate("one => one.getBoundingClientRect().width") == 256
            if not number:
                page.get_by_role("button", name="Vary a little").last.click()
        channel = Channel(page)
        channel.view_as("admin")
        expect(page.get_by_text("You can draw")).to_have_count(0)
        channel.use("admin show")
        page.get_by_text("Drawing is on").first.wait_for()


def test_add_draw_and_mix_on_the_page_and_start_again(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with running_demo(folder) as address:
        page.goto(address)
        channel = Channel(page)
        page.get_by_text("a simulated Discord").first.wait_for()
        channel.use("identity add", name="newton", consent="Fictional person or work of art", photo=NEWTON)
        page.get_by_text("with 4 photos").first.wait_for()
        sample = sorted((folder / "samples").iterdir())
        channel.use("identity add", name="ada", consent="Fictional person or work of art", photo=sample[:2])
        page.get_by_text("with 2 photos").first.wait_for()
        channel.use("imagine", prompt="a man img in a red hat", identity="newton", steps="4")
        pictures = page.locator("img.attachment-image[alt^='picture-']")
        pictures.nth(0).wait_for()
        channel.use("mix", id1="newton", id2="ada")
        pictures.nth(1).wait_for()
        for number in (0, 1):
            expect(pictures.nth(number)).to_have_js_property("naturalWidth", 128, timeout=60_000)
        page.get_by_role("button", name="Again").last.click()
        pictures.nth(2).wait_for()
        page.screenshot(path=os.environ.get("DEMO_SCREENSHOT", tmp_path / "page.png"))
    with running_demo(folder) as address:
        page.goto(address)
        Channel(page).use("identity list")
        page.get_by_text("4 photos, added").first.wait_for()


def test_choices_made_while_a_picture_is_drawn_are_never_lost(page: Page, tmp_path: Path) -> None:
    """The page is published again and again meanwhile; each choice must win, whenever it comes."""
    with running_demo(tmp_path) as address:
        page.goto(address)
        page.get_by_role("button", name="Add the sample people").click()
        page.get_by_text("You can draw").first.wait_for()
        channel = Channel(page)
        channel.use("imagine", prompt="a woman img", identity="ada", steps="100", count="4")
        page.get_by_role("button", name="Cancel").first.wait_for()
        for turn in range(8):
            channel.view_as(("friend", "you")[turn % 2])
            page.wait_for_timeout(150 * (turn % 4))
        expect(page.get_by_text("outcome")).to_have_count(0)
        page.get_by_role("button", name="Cancel").first.click()
        page.get_by_text("Cancelled.").first.wait_for()


def test_a_port_in_use_gets_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(demo_command(tmp_path, port), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"Port {port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
