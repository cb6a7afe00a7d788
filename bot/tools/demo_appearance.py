"""What a visitor of the demo sees beside the bot's words: its name and picture, today's date, a page that follows.

SimCord is made for tests: its bot is called TestBot, its clock stands still at a fixed instant, and its page keeps the
place where one looks.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from photomaker_core.nano.portrait_set import FIRST_HELD_OUT_IDENTITY, identity_number, scene_number
from photomaker_core.nano.portraits import draw

if TYPE_CHECKING:
    from simcord import Env
    from simcord.preview import Preview

BOT_NAME: Final = "PhotoMaker"
WELCOME_SHEET: Final = "welcome.jpg"
_AVATAR: Final = "a0" * 16
_FACE: Final = (29, 13, 99, 83)
_ASSETS: Final = files("bot.tools") / "demo_assets"
_ADDED: Final = {"/preview.css": "page.css", "/timeline.js": "page.js"}


class _TodaysClock:
    """SimCord's clock with the real date; the time of its timers, ``elapsed``, moves as ever only when it is told."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        self.elapsed += seconds


def dress(env: Env) -> dict[str, tuple[str, bytes]]:
    """Give the bot its name and picture and the world today's date; the assets that the preview needs for it."""
    backend: Any = env.backend
    clock = _TodaysClock()
    clock.elapsed = backend.clock.elapsed
    backend.clock = clock
    backend.bot_user.avatar = _AVATAR
    backend.edit_bot_profile(BOT_NAME)
    address = f"https://cdn.simcord.invalid/avatars/{backend.bot_user.id}/{_AVATAR}.png"
    return {address: ("avatar.png", _avatar())}


def welcome_sheet() -> bytes:
    """What to expect, drawn by the shipped weights (``scripts/welcome_sheet.py``)."""
    return (_ASSETS / WELCOME_SHEET).read_bytes()


def follow_newest(preview: Preview) -> None:
    """Add our rules to the page. Call it before the preview is opened."""
    from aiohttp import web

    # SimCord has no public hook for its page; the demo's test in a browser fails when this one goes.
    server: Any = preview
    server = server._server
    plain = server._static

    async def extended(request: web.Request) -> web.Response:
        response: web.Response = await plain(request)
        if request.path in _ADDED and response.text is not None:
            response.text += (_ASSETS / _ADDED[request.path]).read_text()
        return response

    server._static = extended


def _avatar() -> bytes:
    number = FIRST_HELD_OUT_IDENTITY + 1
    portrait, _ = draw(identity_number(number), scene_number(number, 0))
    file = io.BytesIO()
    portrait.crop(_FACE).resize((128, 128)).save(file, "PNG")
    return file.getvalue()
